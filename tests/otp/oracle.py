#!/usr/bin/env python3
"""Runs scenarios on the real Erlang/OTP supervisor and prints them with what was observed.

    oracle.py FILE.jsonl ... > OUT.jsonl      one scenario a line in, the same with "expect" added out
    oracle.py --check FILE.jsonl ...          compare the stored "expect" with a fresh run
Needs Erlang/OTP 25 or later (Debian: erlang-base). README.md beside this file defines the format.
"""
import json, pathlib, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
# A scenario mostly waits for its tree to be quiet, so several nodes run at once.
NODES, EACH = 6, 20
ATOMS = {"strategy", "auto_shutdown", "restart", "type", "op", "reason", "on_shutdown"}


def term(key, value):
    """One JSON value as Erlang term text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value if key in ATOMS or key in ("init", "shutdown") else json.dumps(value)
    if isinstance(value, list):
        return "[" + ",".join(term(key, v) for v in value) + "]"
    return "#{" + ",".join(f"{k} => {term(k, v)}" for k, v in value.items()) + "}"


def filled_child(child):
    out = {"restart": "permanent", "shutdown": 1000, "significant": False, "type": "worker"}
    out.update(child)
    if out["type"] == "supervisor":
        out["supervisor"] = filled_supervisor(out["supervisor"])
    else:
        out.setdefault("init", ["ok"])
        out.setdefault("on_shutdown", "stop")
    return out


def filled_supervisor(sup):
    out = {"strategy": "one_for_one", "intensity": 1, "period": 5, "auto_shutdown": "never"}
    out.update(sup)
    out["children"] = [filled_child(c) for c in sup.get("children", [])]
    return out


def filled(scenario):
    steps = []
    for step in scenario["steps"]:
        step = dict(step)
        if "spec" in step:
            step["spec"] = filled_child(step["spec"])
        if step["op"] in ("start_child", "terminate_child", "restart_child", "delete_child"):
            step.setdefault("sup", "")
        steps.append(step)
    return {"supervisor": filled_supervisor(scenario["supervisor"]), "steps": steps}


def build():
    out = pathlib.Path(tempfile.gettempdir()) / "otp_oracle_ebin"
    out.mkdir(exist_ok=True)
    beam, src = out / "otp_oracle.beam", HERE / "otp_oracle.erl"
    if not beam.exists() or beam.stat().st_mtime < src.stat().st_mtime:
        subprocess.run(["erlc", "-o", str(out), str(src)], check=True)
    return out


def traces(scenarios):
    """The observed trace of each scenario, in order."""
    build()
    parts = [scenarios[at:at + EACH] for at in range(0, len(scenarios), EACH)]
    with ThreadPoolExecutor(NODES) as nodes:
        return [trace for part in nodes.map(traces_of, parts) for trace in part]


def traces_of(scenarios):
    """The same, all run in one Erlang node."""
    text = "\n".join(term("", filled(s)) + "." for s in scenarios)
    run = subprocess.run(["erl", "+S", "1:1", "-noshell", "-pa", str(build()), "-s", "otp_oracle", "main"],
                         input=text, capture_output=True, text=True, timeout=60 + 5 * len(scenarios))
    lines = run.stdout.splitlines()
    if run.returncode != 0 or len(lines) != len(scenarios):
        raise RuntimeError(f"oracle failed after {len(lines)} of {len(scenarios)}: {run.stdout[-500:]} {run.stderr[-500:]}")
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    args = sys.argv[1:]
    check = "--check" in args
    lines = [line for name in args if name != "--check" for line in pathlib.Path(name).read_text().splitlines() if line.strip()]
    scenarios = [json.loads(line) for line in lines]
    differing = 0
    for scenario, got in zip(scenarios, traces(scenarios)):
        if check:
            if scenario.get("expect") != got:
                differing += 1
                print("differs:", scenario["name"])
        else:
            print(json.dumps({**scenario, "expect": got}, separators=(",", ":")))
    if check:
        print(f"{len(scenarios)} scenarios, {differing} differ")
        sys.exit(differing > 0)
