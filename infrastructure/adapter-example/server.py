#!/usr/bin/env python3
"""An adapter for `platform = "command"`: one program on a server of one's own, which listens on one port.

    server.py ACTION FOLDER PORT

FOLDER keeps the releases and `deployments.json`. A release is a folder with an executable file `start`, which gets PORT and
COMMIT, and answers `GET /health` with a JSON object that has `commit`. infrastructure/schemas/adapter.schema.json has the
form of questions and answers. Take it as a beginning: over SSH the same steps run on the server.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

STARTS_S = 30
KEPT = 20


def answering(port):
    """The commit of the program that listens, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return json.load(answer).get("commit")
    except (OSError, ValueError):
        return None


def end(pid):
    """Ends a program and all that it started."""
    try:
        os.killpg(pid, signal.SIGTERM)
    except (OSError, TypeError):
        pass


def start(folder, port, one):
    """Starts a release in a group of its own: it lives on when this program has ended."""
    with open(folder / f"{one['id']}.log", "ab") as log:
        program = subprocess.Popen(
            [str(folder / one["files"] / "start")],
            cwd=folder / one["files"],
            env={"PATH": os.environ["PATH"], "PORT": str(port), "COMMIT": one["commit"]},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
    one["pid"] = program.pid


def begin(folder, port, deployments, release, commit, files):
    """A new deployment takes the place of what runs: one port has room for one program."""
    number = 1 + max((one["number"] for one in deployments), default=0)
    one = {"id": f"deployment-{number}", "number": number, "status": "pending", "release": release, "commit": commit, "files": files}
    for other in deployments:
        if other["status"] in ("serves", "pending"):
            other["status"] = "replaced"
            end(other.get("pid"))
    until = time.monotonic() + STARTS_S
    while answering(port) is not None and time.monotonic() < until:
        time.sleep(0.02)
    start(folder, port, one)
    deployments.insert(0, one)
    return {"deployment": one["id"]}


def settle(port, one):
    """A pending deployment serves when it answers with its commit, and has failed when its time is over."""
    until = time.monotonic() + STARTS_S
    while one["status"] == "pending":
        if answering(port) == one["commit"]:
            one["status"] = "serves"
        elif time.monotonic() > until:
            one["status"] = "failed"
            end(one.get("pid"))
        else:
            time.sleep(0.02)


def shown(one):
    keys = {key: one[key] for key in ("id", "status", "release", "commit")}
    return {**keys, "image": one["files"], "can_roll_back": one["status"] != "failed"}


def act(action, question, folder, port, deployments):
    known = {one["id"]: one for one in deployments}
    if action == "current":
        serves = next((one["id"] for one in deployments if one["status"] == "serves" and answering(port) == one["commit"]), None)
        return {"serves": serves, "deployments": [shown(one) for one in deployments]}
    if action == "deploy":
        # Asked twice for one release, there is one deployment.
        again = next((one for one in deployments if one["release"] == question["release"] and one["status"] != "failed"), None)
        if again:
            return {"deployment": again["id"]}
        files = f"release-{question['release']}"
        shutil.copytree(question["folder"], folder / files, dirs_exist_ok=True)
        return begin(folder, port, deployments, question["release"], question["commit"], files)
    one = known[question["deployment"]]
    if action == "rollback":
        return begin(folder, port, deployments, one["release"] + "-again", one["commit"], one["files"])
    settle(port, one)
    return {"deployment": shown(one)}


def main():
    action, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    question = json.load(sys.stdin)
    if question.get("schema") != "adapter/1" or question.get("action") != action:
        sys.exit(f"this is no question for {action}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "deployments.json"
    # One at a time: two that change the list would lose one of their changes.
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deployments = json.loads(file.read_text()) if file.exists() else []
        answer = act(action, question, folder, port, deployments)
        new = folder / "deployments.json.new"
        new.write_text(json.dumps(deployments[:KEPT]))
        new.replace(file)
    print(json.dumps(answer))


main()
