#!/usr/bin/env escript
%% What the other arms do, on Erlang/OTP: CELL ARM,ARM,... N OPS ROUNDS. One line a figure: arm, figure, value.
-mode(compile).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

main([Cell, Arms, N, Ops, Rounds]) ->
    logger:set_primary_config(level, none),
    Task = {list_to_integer(N), list_to_integer(Ops)},
    Names = string:split(Arms, ",", all),
    lists:foreach(
        fun(_) -> lists:foreach(fun(Arm) -> measure(Cell, Arm, Task) end, Names) end,
        lists:seq(1, list_to_integer(Rounds))
    ),
    halt(0).

%% Each run is a process of its own, so that no run finds what another has left.
measure(Cell, Arm, Task) ->
    Self = self(),
    {_, Monitor} = spawn_monitor(fun() ->
        process_flag(trap_exit, true),
        Self ! {figures, run(Cell, Arm, Task)}
    end),
    receive
        {figures, Figures} ->
            erlang:demonitor(Monitor, [flush]),
            [io:format("~s\t~s\t~w~n", [Arm, Figure, Value]) || {Figure, Value} <- Figures];
        {'DOWN', Monitor, process, _, Reason} ->
            io:format(standard_error, "~s ~s: ~p~n", [Cell, Arm, Reason]),
            halt(1)
    end.

now_ns() -> erlang:monotonic_time(nanosecond).

mean(Since, Ops) -> [{"mean", (now_ns() - Since) / Ops}].

%% Messages

run("cast", "raw", {_, Ops}) ->
    Pid = spawn_link(fun raw/0),
    Since = now_ns(),
    times(Ops, fun() -> Pid ! nothing end),
    ok = raw_ping(Pid),
    mean(Since, Ops);
run("cast", "gen_server", {_, Ops}) ->
    {ok, Pid} = start_worker(none),
    Since = now_ns(),
    times(Ops, fun() -> gen_server:cast(Pid, nothing) end),
    ok = gen_server:call(Pid, ping, infinity),
    mean(Since, Ops);
run("call", "raw", {_, Ops}) ->
    Pid = spawn_link(fun raw/0),
    Since = now_ns(),
    times(Ops, fun() -> ok = raw_ping(Pid) end),
    mean(Since, Ops);
run("call", "gen_server", {_, Ops}) ->
    {ok, Pid} = start_worker(none),
    Since = now_ns(),
    times(Ops, fun() -> ok = gen_server:call(Pid, ping) end),
    mean(Since, Ops);
%% Restarts
run("restart", Arm, Task) ->
    restarts(Arm, Task, fail);
run("restart-panic", Arm, Task) ->
    restarts(Arm, Task, panic);
run("crash-loop", Arm, {N, Ops}) ->
    Supervisor = family(Arm, one_for_one, N, self(), none),
    Since = now_ns(),
    times(Ops, fun() -> gen_server:cast(up(), fail) end),
    up(),
    Took = now_ns() - Since,
    kill(Supervisor),
    [{"rate", Ops * 1.0e9 / Took}];
run("one-for-all", Arm, Task) ->
    groups(Arm, one_for_all, Task);
run("rest-for-one", Arm, Task) ->
    groups(Arm, rest_for_one, Task);
%% Starts and stops
run("start", Arm, {N, _}) ->
    Before = resident(),
    Since = now_ns(),
    Supervisor = family(Arm, one_for_one, N, none, none),
    Took = (now_ns() - Since) / N,
    Resident = (resident() - Before) / N,
    kill(Supervisor),
    [{"time", Took}, {"resident", Resident}];
run("start-dynamic", Arm, {N, _}) ->
    Since = now_ns(),
    Supervisor = family(Arm, one_for_one, N, none, none),
    Took = (now_ns() - Since) / N,
    stop(Supervisor),
    [{"time", Took}];
run("shutdown", Arm, {N, _}) ->
    Supervisor = family(Arm, one_for_one, N, none, none),
    Since = now_ns(),
    stop(Supervisor),
    [{"total", (now_ns() - Since) / 1.0e6}];
%% Looking up; those who are found stay from round to round
run("lookup", "whereis", {N, Ops}) ->
    Names = [list_to_atom("root/w" ++ integer_to_list(Place)) || Place <- shuffled(N)],
    [register(Name, spawn(fun idle/0)) || Name <- Names, whereis(Name) =:= undefined],
    [
        {"one", look_up(1, Ops, Names, fun erlang:whereis/1)},
        {"two", look_up(2, Ops, Names, fun erlang:whereis/1)}
    ];
run("tag", "pg", {N, Ops}) ->
    Groups = [list_to_binary("a" ++ integer_to_list(Tag)) || Tag <- shuffled(max(1, N div 100))],
    case pg:start(pg) of
        {ok, _} ->
            Bearers = fun() -> [spawn(fun idle/0) || _ <- lists:seq(1, min(N, 100))] end,
            [ok = pg:join(Group, Bearers()) || Group <- Groups];
        {error, {already_started, _}} ->
            ok
    end,
    true = min(N, 100) =:= length(pg:get_members(hd(Groups))),
    [{"mean", look_up(1, Ops, Groups, fun pg:get_members/1)}];
%% Pools; one that is not there has no figures
run(Cell, "poolboy", Task) ->
    case code:ensure_loaded(poolboy) of
        {module, poolboy} -> poolboy(Cell, Task);
        {error, _} -> []
    end;
run("pool", "in-turn", {N, Ops}) ->
    {Tally, Workers} = hands(N, Ops),
    flood(Ops, fun(Job) -> gen_server:cast(element(Job rem N + 1, Workers), {job, Tally}) end);
run("pool-answers", "in-turn", {N, Ops}) ->
    {_, Workers} = hands(N, Ops),
    answers(N, Ops, fun(Job) -> ok = gen_server:call(element(Job rem N + 1, Workers), ping) end).

%% A job that nobody waits for is given to a worker that is free, who counts as free again at once.
poolboy("pool", {N, Ops}) ->
    Tally = tally(Ops),
    pooled(N, fun(Pool) ->
        flood(Ops, fun(_) ->
            Worker = poolboy:checkout(Pool),
            gen_server:cast(Worker, {job, Tally}),
            poolboy:checkin(Pool, Worker)
        end)
    end);
poolboy("pool-answers", {N, Ops}) ->
    Ping = fun(Worker) -> gen_server:call(Worker, ping) end,
    pooled(N, fun(Pool) ->
        answers(N, Ops, fun(_) -> ok = poolboy:transaction(Pool, Ping) end)
    end).

pooled(N, Do) ->
    {ok, Pool} = poolboy:start_link([{worker_module, ?MODULE}, {size, N}, {max_overflow, 0}], none),
    Figures = Do(Pool),
    poolboy:stop(Pool),
    Figures.

hands(N, Ops) ->
    Start = fun(_) ->
        {ok, Worker} = start_worker(none),
        Worker
    end,
    {tally(Ops), list_to_tuple(lists:map(Start, lists:seq(1, N)))}.

%% Counts what is done; who has done the last tells so.
tally(Ops) -> {atomics:new(1, []), Ops div 2 * 2, self()}.

%% Two processes hand out half of the jobs each, as fast as they can.
flood(Ops, Send) ->
    Half = Ops div 2,
    Since = now_ns(),
    [spawn_link(fun() -> each_other(Hand, Half, Send) end) || Hand <- [0, 1]],
    await(all_done),
    [{"rate", Half * 2 * 1.0e9 / (now_ns() - Since)}].

each_other(_, 0, _) ->
    ok;
each_other(Job, Left, Send) ->
    Send(Job),
    each_other(Job + 2, Left - 1, Send).

%% Twice as many callers as workers, each of whom waits for the answer before it has the next job done.
answers(N, Ops, Call) ->
    Callers = 2 * N,
    Each = (Ops + Callers - 1) div Callers,
    Self = self(),
    Since = now_ns(),
    Pids = [
        spawn_link(fun() ->
            lists:foreach(Call, lists:seq(At, At + Each - 1)),
            Self ! {done, self()}
        end)
     || At <- lists:seq(0, Callers - 1)
    ],
    [await({done, Pid}) || Pid <- Pids],
    [{"rate", Callers * Each * 1.0e9 / (now_ns() - Since)}].

%% So many processes at once, each looking up all in turn: how long each look-up took, until the last process was done.
look_up(Processes, Ops, Keys, Look) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            look(length(Keys), Keys, Keys, Look),
            Self ! {ready, self()},
            receive
                go -> look(Ops, Keys, Keys, Look)
            end,
            Self ! {done, self()}
        end)
     || _ <- lists:seq(1, Processes)
    ],
    [await({ready, Pid}) || Pid <- Pids],
    Since = now_ns(),
    [Pid ! go || Pid <- Pids],
    [await({done, Pid}) || Pid <- Pids],
    (now_ns() - Since) / Ops.

await(Message) ->
    receive
        Message -> ok
    end.

look(0, _, _, _) ->
    ok;
look(Ops, [], Keys, Look) ->
    look(Ops, Keys, Keys, Look);
look(Ops, [Key | Rest], Keys, Look) ->
    Look(Key),
    look(Ops - 1, Rest, Keys, Look).

shuffled(N) -> [Place * 7919 rem N || Place <- lists:seq(0, N - 1)].

idle() ->
    receive
        over -> ok
    end.

restarts(Arm, {N, Ops}, Order) ->
    Supervisor = family(Arm, one_for_one, N, self(), none),
    First = up(),
    Times = kill_and_wait(Ops, First, Order, []),
    kill(Supervisor),
    latencies(Times).

kill_and_wait(0, _, _, Times) ->
    Times;
kill_and_wait(Ops, Pid, Order, Times) ->
    Since = now_ns(),
    gen_server:cast(Pid, Order),
    Next = up(),
    ok = gen_server:call(Next, ping),
    kill_and_wait(Ops - 1, Next, Order, [now_ns() - Since | Times]).

groups(Arm, Strategy, {N, Ops}) ->
    Supervisor = family(Arm, Strategy, N, self(), self()),
    Times = kill_all(Ops, N, ups(N), []),
    kill(Supervisor),
    latencies(Times).

kill_all(0, _, _, Times) ->
    Times;
kill_all(Ops, N, Pids, Times) ->
    Since = now_ns(),
    gen_server:cast(hd(Pids), fail),
    Next = ups(N),
    ok = gen_server:call(lists:last(Next), ping),
    kill_all(Ops - 1, N, Next, [now_ns() - Since | Times]).

latencies(Times) ->
    Sorted = lists:sort(Times),
    At = fun(Share) ->
        lists:nth(min(length(Sorted) * Share div 100 + 1, length(Sorted)), Sorted)
    end,
    [{"p50", At(50)}, {"p99", At(99)}].

%% Whoever is up tells so.
up() ->
    receive
        {up, Pid} -> Pid
    end.

ups(0) -> [];
ups(N) -> [up() | ups(N - 1)].

times(0, _) ->
    ok;
times(N, Do) ->
    Do(),
    times(N - 1, Do).

resident() ->
    {ok, Status} = file:read_file("/proc/" ++ os:getpid() ++ "/status"),
    {match, [Kilobytes]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kilobytes) * 1024.

%% N children of which the first tells when it is up.
family("supervisor", Strategy, N, First, Others) ->
    Spec = fun(Place, Up) ->
        #{id => Place, start => {gen_server, start_link, [?MODULE, {worker, Up}, []]}}
    end,
    Specs = [Spec(1, First) | [Spec(Place, Others) || Place <- lists:seq(2, N)]],
    {ok, Supervisor} = supervisor_link(Strategy, Specs),
    Supervisor;
family("simple", _, N, First, Others) ->
    Simple = #{id => worker, start => {gen_server, start_link, [?MODULE]}},
    {ok, Supervisor} = supervisor_link(simple_one_for_one, [Simple]),
    {ok, _} = supervisor:start_child(Supervisor, [{worker, First}, []]),
    times(N - 1, fun() ->
        {ok, _} = supervisor:start_child(Supervisor, [{worker, Others}, []])
    end),
    Supervisor.

%% More restarts than any run makes, in a window longer than any run.
supervisor_link(Strategy, Specs) ->
    Flags = #{strategy => Strategy, intensity => 1000000, period => 3600},
    supervisor:start_link(?MODULE, {supervisor, Flags, Specs}).

%% Nobody waits for the children.
kill(Supervisor) ->
    unlink(Supervisor),
    exit(Supervisor, kill).

stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    receive
        {'DOWN', Monitor, process, _, _} -> ok
    end.

start_link(Up) -> start_worker(Up).
start_worker(Up) -> gen_server:start_link(?MODULE, {worker, Up}, []).

%% The callbacks of both kinds
init({supervisor, Flags, Specs}) ->
    {ok, {Flags, Specs}};
init({worker, Up}) ->
    is_pid(Up) andalso (Up ! {up, self()}),
    {ok, none}.

handle_call(ping, _, State) -> {reply, ok, State}.
handle_cast(nothing, State) ->
    {noreply, State};
handle_cast({job, {Done, All, Whom}}, State) ->
    atomics:add_get(Done, 1, 1) =:= All andalso (Whom ! all_done),
    {noreply, State};
handle_cast(fail, _) ->
    exit(as_asked);
handle_cast(panic, _) ->
    error(as_asked).
handle_info(_, State) -> {noreply, State}.
terminate(_, _) -> ok.

%% A process that is no gen_server
raw() ->
    receive
        nothing ->
            raw();
        {ping, From, Ref} ->
            From ! Ref,
            raw()
    end.

raw_ping(Pid) ->
    Ref = make_ref(),
    Pid ! {ping, self(), Ref},
    receive
        Ref -> ok
    end.
