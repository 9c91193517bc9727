%% Runs one supervision scenario on the real Erlang/OTP `supervisor` and prints what was observed, as JSON.
%% Input: one Erlang term on standard input (`oracle.py` writes it from the scenario's JSON).
-module(otp_oracle).
-behaviour(supervisor).
-export([main/0, init/1, start_worker/3, worker_init/4, start_supervisor/2]).

%% ---------------------------------------------------------------- entry

main() ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    io:setopts([{encoding, unicode}]),
    each(io:read("")).

each(eof) -> halt(0);
each({ok, Scenario}) ->
    io:format("~s~n", [run(Scenario)]),
    each(io:read("")).

%% One scenario, from a clean slate, as one line of JSON.
run(#{supervisor := Spec, steps := Steps}) ->
    Tables = [pids,          % path -> pid of the latest incarnation
              paths,         % pid -> path
              attempts,      % path -> number of starts tried
              incarnations,  % path -> number of starts that succeeded
              dynamic,       % supervisor path -> children started so far
              kinds],        % supervisor path -> strategy; not of one whose place a worker has taken
    [ets:new(T, [named_table, public]) || T <- Tables],
    Main = self(),
    Recorder = spawn(fun() -> recorder(Main, []) end),
    register(recorder, Recorder),
    erase(root_exit),
    First = case (catch start_supervisor("", Spec)) of
        {ok, Root} -> put(root, Root), "ok";
        _ -> put(root, undefined), "error"
    end,
    Head = observe(First),
    Tail = [observe(perform(Step)) || Step <- Steps],
    case root_alive() of
        true -> exit(get(root), kill), await_exit(get(root)), timer:sleep(5);
        false -> ok
    end,
    unregister(recorder),
    exit(Recorder, kill),
    flush(),
    [ets:delete(T) || T <- Tables],
    ["[", lists:join(",", [Head | Tail]), "]"].

flush() -> receive _ -> flush() after 0 -> ok end.

%% ---------------------------------------------------------------- the tree

start_supervisor(Path, Spec) ->
    supervisor:start_link(?MODULE, {Path, Spec}).

init({Path, #{strategy := Strategy, intensity := I, period := P, auto_shutdown := Auto, children := Children}}) ->
    ets:insert(pids, {Path, self()}),
    ets:insert(paths, {self(), Path}),
    ets:insert(kinds, {Path, Strategy}),
    Flags = #{strategy => Strategy, intensity => I, period => P, auto_shutdown => Auto},
    {ok, {Flags, [child_spec(Path, C, Strategy) || C <- Children]}}.

child_spec(Parent, #{id := Id, type := supervisor} = C, Strategy) ->
    Start = case Strategy of
        simple_one_for_one -> exit(unsupported);
        _ -> {?MODULE, start_supervisor, [join(Parent, Id), maps:get(supervisor, C)]}
    end,
    common(C, Start, supervisor);
child_spec(Parent, #{id := Id} = C, simple_one_for_one) ->
    common(C, {?MODULE, start_worker, [{dynamic, Parent, Id}, C]}, worker);
child_spec(Parent, #{id := Id} = C, _) ->
    common(C, {?MODULE, start_worker, [join(Parent, Id), C, none]}, worker).

common(#{id := Id, restart := R, shutdown := S, significant := Sig}, Start, Type) ->
    #{id => Id, start => Start, restart => R, shutdown => S, significant => Sig, type => Type}.

join("", Id) -> Id;
join(Parent, Id) -> Parent ++ "/" ++ Id.

%% ---------------------------------------------------------------- workers

start_worker({dynamic, Parent, _}, C, N) -> start_worker(join(Parent, "#" ++ integer_to_list(N)), C, none);
start_worker(Path, #{init := Script, on_shutdown := OnShutdown}, none) ->
    proc_lib:start_link(?MODULE, worker_init, [self(), Path, Script, OnShutdown]).

worker_init(Parent, Path, Script, OnShutdown) ->
    N = ets:update_counter(attempts, Path, 1, {Path, 0}),
    case lists:nth(min(N, length(Script)), Script) of
        ok ->
            Inc = ets:update_counter(incarnations, Path, 1, {Path, 0}),
            process_flag(trap_exit, true),
            record({start, Path, Inc}),
            ets:insert(pids, {Path, self()}),
            ets:insert(paths, {self(), Path}),
            ets:delete(kinds, Path),
            proc_lib:init_ack(Parent, {ok, self()}),
            worker_loop(Parent, OnShutdown);
        ignore ->
            record({ignore, Path}),
            unlink(Parent), proc_lib:init_ack(Parent, ignore), exit(normal);
        error ->
            record({init_failed, Path}),
            unlink(Parent), proc_lib:init_ack(Parent, {error, boom}), exit(normal);
        crash ->
            record({init_failed, Path}),
            exit(boom)
    end.

worker_loop(Parent, OnShutdown) ->
    receive
        {leave, Reason} -> exit(Reason);
        {'EXIT', Parent, _} when OnShutdown =:= ignore -> worker_loop(Parent, OnShutdown);
        {'EXIT', Parent, Reason} -> exit(Reason);
        _ -> worker_loop(Parent, OnShutdown)
    end.

%% ---------------------------------------------------------------- what happened, in order

record(Event) ->
    Ref = make_ref(),
    recorder ! {record, self(), Ref, Event},
    receive {Ref, done} -> ok end.

recorder(Main, Events) ->
    receive
        {record, From, Ref, {start, Path, Inc} = E} ->
            M = monitor(process, From),
            put(M, {Path, Inc}),
            From ! {Ref, done},
            recorder(Main, [E | Events]);
        {record, From, Ref, E} ->
            From ! {Ref, done},
            recorder(Main, [E | Events]);
        {'DOWN', M, process, _, Reason} ->
            {Path, Inc} = erase(M),
            recorder(Main, [{stop, Path, Inc, reason(Reason)} | Events]);
        {take, From} ->
            From ! {events, lists:reverse(Events)},
            recorder(Main, []);
        {count, From} ->
            From ! {count, length(Events)},
            recorder(Main, Events);
        {'EXIT', _, _} -> recorder(Main, Events)
    end.

reason(normal) -> "normal";
reason(shutdown) -> "shutdown";
reason({shutdown, _}) -> "shutdown";
reason(killed) -> "killed";
reason(_) -> "crash".

%% ---------------------------------------------------------------- steps

perform(#{op := sleep, ms := Ms}) -> timer:sleep(Ms), "ok";
perform(#{op := shutdown}) ->
    case root_alive() of
        true -> exit(get(root), shutdown), await_exit(get(root)), "ok";
        false -> "noproc"
    end;
perform(#{op := exit, child := Path, reason := Why}) ->
    case ets:lookup(pids, Path) of
        [{_, Pid}] ->
            case is_process_alive(Pid) of
                true ->
                    case Why of
                        kill -> exit(Pid, kill);
                        crash -> Pid ! {leave, boom};
                        _ -> Pid ! {leave, Why}
                    end,
                    await_death(Pid), "ok";
                false -> "noproc"
            end;
        [] -> "noproc"
    end;
perform(#{op := Op, sup := Sup} = Step) ->
    case ets:lookup(pids, Sup) of
        [{_, Pid}] ->
            %% A worker that was added where a supervisor had been would never answer.
            case ets:member(kinds, Sup) andalso is_process_alive(Pid) of
                true -> try managed(Op, Sup, Pid, Step) catch exit:_ -> "noproc" end;
                false -> "noproc"
            end;
        [] -> "noproc"
    end.

managed(start_child, Sup, Pid, Step) ->
    case ets:lookup(kinds, Sup) of
        [{_, simple_one_for_one}] ->
            N = ets:update_counter(dynamic, Sup, 1, {Sup, 0}),
            started(supervisor:start_child(Pid, [N]));
        _ ->
            started(supervisor:start_child(Pid, child_spec(Sup, maps:get(spec, Step), one_for_one)))
    end;
managed(terminate_child, Sup, Pid, #{id := Id}) ->
    case {ets:lookup(kinds, Sup), ets:lookup(pids, join(Sup, Id))} of
        {[{_, simple_one_for_one}], [{_, Child}]} -> answered(supervisor:terminate_child(Pid, Child));
        {[{_, simple_one_for_one}], []} -> "not_found";
        _ -> answered(supervisor:terminate_child(Pid, Id))
    end;
managed(restart_child, _, Pid, #{id := Id}) -> started(supervisor:restart_child(Pid, Id));
managed(delete_child, _, Pid, #{id := Id}) -> answered(supervisor:delete_child(Pid, Id)).

started({ok, undefined}) -> "ignored";
started({ok, _}) -> "ok";
started({error, already_present}) -> "already_present";
started({error, {already_started, _}}) -> "already_started";
started({error, running}) -> "running";
started({error, restarting}) -> "restarting";
started({error, not_found}) -> "not_found";
started({error, simple_one_for_one}) -> "unsupported";
started({error, _}) -> "error".

answered(ok) -> "ok";
answered({error, E}) when is_atom(E) -> 
    case E of simple_one_for_one -> "unsupported"; _ -> atom_to_list(E) end;
answered({error, _}) -> "error".

root_alive() -> is_pid(get(root)) andalso is_process_alive(get(root)).

await_exit(Pid) -> receive {'EXIT', Pid, R} -> put(root_exit, R) after 10000 -> exit(stuck) end.

await_death(Pid) ->
    M = monitor(process, Pid),
    receive {'DOWN', M, _, _, _} -> ok after 10000 -> exit(stuck) end.

%% ---------------------------------------------------------------- observation

observe(Result) ->
    Tree = settle(undefined, 0),
    receive {'EXIT', R0, Reason} when R0 =:= undefined; is_pid(R0) ->
        case get(root) of R0 -> put(root_exit, Reason); _ -> ok end
    after 0 -> ok end,
    recorder ! {take, self()},
    Events = receive {events, E} -> E end,
    Alive = root_alive(),
    Exit = case {Alive, get(root_exit)} of
        {true, _} -> "null";
        {false, undefined} -> quote("not_started");
        {false, R} -> quote(reason(R))
    end,
    io_lib:format("{\"result\":~s,\"alive\":~p,\"exit\":~s,\"events\":[~s],\"tree\":~s}",
        [quote(Result), Alive, Exit, lists:join(",", [event(X) || X <- Events]), Tree]).

%% The tree is quiet when two looks 15 ms apart agree and nothing was recorded between them.
settle(Last, N) when N > 400 -> Last;
settle(Last, N) ->
    Tree = lists:flatten(snapshot("", get(root))),
    recorder ! {count, self()},
    Count = receive {count, C} -> C end,
    case Last of
        {Tree, Count} -> Tree;
        _ -> timer:sleep(15), settle({Tree, Count}, N + 1)
    end.

snapshot(Path, Pid) when is_pid(Pid) ->
    case is_process_alive(Pid) of
        true ->
            try
                Counts = supervisor:count_children(Pid),
                Children = supervisor:which_children(Pid),
                Rows = case ets:lookup(kinds, Path) of
                    [{_, simple_one_for_one}] -> lists:sort([dynamic_row(C) || C <- Children]);
                    _ -> [row(Path, C) || C <- lists:reverse(Children)]
                end,
                io_lib:format("{\"specs\":~p,\"active\":~p,\"supervisors\":~p,\"workers\":~p,\"children\":[~s]}",
                    [proplists:get_value(K, Counts) || K <- [specs, active, supervisors, workers]]
                    ++ [lists:join(",", Rows)])
            catch exit:_ -> "null" end;
        false -> "null"
    end;
snapshot(_, _) -> "null".

dynamic_row({_, Pid, _, _}) when is_pid(Pid) ->
    [{_, Path}] = ets:lookup(paths, Pid),
    lists:flatten(io_lib:format("{\"id\":~s,\"state\":\"running\"}", [quote(lists:last(string:split(Path, "/", all)))]));
dynamic_row({_, State, _, _}) ->
    lists:flatten(io_lib:format("{\"id\":\"?\",\"state\":\"~p\"}", [State])).

row(Path, {Id, Pid, supervisor, _}) when is_pid(Pid) ->
    io_lib:format("{\"id\":~s,\"state\":\"running\",\"tree\":~s}", [quote(Id), snapshot(join(Path, Id), Pid)]);
row(_, {Id, Pid, _, _}) when is_pid(Pid) -> io_lib:format("{\"id\":~s,\"state\":\"running\"}", [quote(Id)]);
row(_, {Id, undefined, _, _}) -> io_lib:format("{\"id\":~s,\"state\":\"stopped\"}", [quote(Id)]);
row(_, {Id, restarting, _, _}) -> io_lib:format("{\"id\":~s,\"state\":\"restarting\"}", [quote(Id)]).

event({start, P, I}) -> io_lib:format("[\"start\",~s,~p]", [quote(P), I]);
event({ignore, P}) -> io_lib:format("[\"ignore\",~s]", [quote(P)]);
event({init_failed, P}) -> io_lib:format("[\"init_failed\",~s]", [quote(P)]);
event({stop, P, I, R}) -> io_lib:format("[\"stop\",~s,~p,~s]", [quote(P), I, quote(R)]).

quote(S) -> [$", S, $"].
