# What the other arms do, on Elixir's DynamicSupervisor: CELL ARM,ARM,... N OPS ROUNDS. One line a figure: arm, figure, value.

defmodule Worker do
  use GenServer

  def start_link(up), do: GenServer.start_link(__MODULE__, up)

  @impl true
  def init(up) do
    if up, do: send(up, {:up, self()})
    {:ok, nil}
  end

  @impl true
  def handle_call(:ping, _, state), do: {:reply, :ok, state}

  @impl true
  def handle_cast(:fail, _), do: exit(:as_asked)
end

defmodule Bench do
  # More restarts than any run makes, in a window longer than any run.
  @flags [strategy: :one_for_one, max_restarts: 1_000_000, max_seconds: 3_600]

  def main([cell, arms, n, ops, rounds]) do
    :logger.set_primary_config(:level, :none)
    task = {String.to_integer(n), String.to_integer(ops)}

    for _ <- 1..String.to_integer(rounds), arm <- String.split(arms, ",") do
      # Each run is a process of its own, so that no run finds what another has left.
      figures = Task.await(Task.async(fn -> run(cell, arm, task) end), :infinity)
      for {figure, value} <- figures, do: IO.puts("#{arm}\t#{figure}\t#{value}")
    end
  end

  defp run("restart", "dynamic-supervisor", {n, ops}) do
    supervisor = family(n, self())
    times = kill_and_wait(ops, up(), [])
    kill(supervisor)
    latencies(times)
  end

  defp run("crash-loop", "dynamic-supervisor", {n, ops}) do
    supervisor = family(n, self())
    since = now()
    for _ <- 1..ops, do: GenServer.cast(up(), :fail)
    up()
    took = now() - since
    kill(supervisor)
    [{"rate", ops * 1.0e9 / took}]
  end

  defp run("start", "dynamic-supervisor", {n, _}) do
    before = resident()
    since = now()
    supervisor = family(n, nil)
    took = (now() - since) / n
    resident = (resident() - before) / n
    kill(supervisor)
    [{"time", took}, {"resident", resident}]
  end

  defp run("start-dynamic", "dynamic-supervisor", {n, _}) do
    since = now()
    supervisor = family(n, nil)
    took = (now() - since) / n
    stop(supervisor)
    [{"time", took}]
  end

  defp run("shutdown", "dynamic-supervisor", {n, _}) do
    supervisor = family(n, nil)
    since = now()
    stop(supervisor)
    [{"total", (now() - since) / 1.0e6}]
  end

  # Looking up; those who are found stay from round to round.
  defp run("lookup", "registry", {n, ops}) do
    names = for place <- shuffled(n), do: "root/w#{place}"
    registered(Names, :unique, names)
    look = &Registry.lookup(Names, &1)
    [{"one", look_up(1, ops, names, look)}, {"two", look_up(2, ops, names, look)}]
  end

  defp run("tag", "registry", {n, ops}) do
    tags = for tag <- shuffled(max(1, div(n, 100))), do: "a#{tag}"
    registered(Tags, :duplicate, for(tag <- tags, _ <- 1..min(n, 100), do: tag))
    [{"mean", look_up(1, ops, tags, &Registry.lookup(Tags, &1))}]
  end

  # A process for each key, in a registry as it comes.
  defp registered(registry, keys, all) do
    if Process.whereis(registry) == nil do
      {:ok, supervisor} = Registry.start_link(keys: keys, name: registry)
      Process.unlink(supervisor)
      me = self()

      for key <- all do
        spawn(fn ->
          {:ok, _} = Registry.register(registry, key, nil)
          send(me, :registered)
          Process.sleep(:infinity)
        end)
      end

      for _ <- all, do: await(:registered)
    end
  end

  # So many processes at once, each looking up all in turn: how long each look-up took, until the last process was done.
  defp look_up(processes, ops, keys, look) do
    me = self()

    pids =
      for _ <- 1..processes do
        spawn_link(fn ->
          look(length(keys), keys, keys, look)
          send(me, {:ready, self()})
          await(:go)
          look(ops, keys, keys, look)
          send(me, {:done, self()})
        end)
      end

    for pid <- pids, do: await({:ready, pid})
    since = now()
    for pid <- pids, do: send(pid, :go)
    for pid <- pids, do: await({:done, pid})
    (now() - since) / ops
  end

  defp await(message) do
    receive do
      ^message -> :ok
    end
  end

  defp look(0, _, _, _), do: :ok
  defp look(ops, [], keys, look), do: look(ops, keys, keys, look)

  defp look(ops, [key | rest], keys, look) do
    look.(key)
    look(ops - 1, rest, keys, look)
  end

  defp shuffled(n), do: for(place <- 0..(n - 1), do: rem(place * 7_919, n))

  # `n` children of which the first tells when it is up.
  defp family(n, first) do
    {:ok, supervisor} = DynamicSupervisor.start_link(@flags)
    {:ok, _} = DynamicSupervisor.start_child(supervisor, {Worker, first})
    for _ <- 2..n//1, do: {:ok, _} = DynamicSupervisor.start_child(supervisor, {Worker, nil})
    supervisor
  end

  # Nobody waits for the children.
  defp kill(supervisor) do
    Process.unlink(supervisor)
    Process.exit(supervisor, :kill)
  end

  defp stop(supervisor), do: DynamicSupervisor.stop(supervisor, :normal, :infinity)

  defp up do
    receive do
      {:up, pid} -> pid
    end
  end

  defp kill_and_wait(0, _, times), do: times

  defp kill_and_wait(ops, pid, times) do
    since = now()
    GenServer.cast(pid, :fail)
    next = up()
    :ok = GenServer.call(next, :ping)
    kill_and_wait(ops - 1, next, [now() - since | times])
  end

  defp latencies(times) do
    sorted = Enum.sort(times)
    at = fn share -> Enum.at(sorted, min(div(length(sorted) * share, 100), length(sorted) - 1)) end
    [{"p50", at.(50)}, {"p99", at.(99)}]
  end

  defp now, do: :erlang.monotonic_time(:nanosecond)

  defp resident do
    status = File.read!("/proc/#{System.pid()}/status")
    [_, kilobytes] = Regex.run(~r/VmRSS:\s+(\d+)/, status)
    String.to_integer(kilobytes) * 1024
  end
end

Bench.main(System.argv())
