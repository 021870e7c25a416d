#!/usr/bin/env python3
"""An adapter for pages (`platform = "command"` with `stage` and `promote`): folders that a web server of one's own shows.

    pages.py ACTION FOLDER ADDRESS

The web server shows FOLDER at ADDRESS. Each deployment is a folder below it, so that ADDRESS/ID shows it before users see it. Users
see what the link `live` leads to. infrastructure/schemas/adapter.schema.json has the form of questions and answers. Take it as a
beginning: where pages are built, `stage` builds them.
"""

import json
import os
import shutil
import sys
from pathlib import Path


def live(folder):
    """The id of what users see, or None."""
    try:
        return os.readlink(folder / "live")
    except FileNotFoundError:
        return None


def shown(folder, address, id):
    made = json.loads((folder / f"{id}.json").read_text())
    status = "serves" if id == live(folder) else "staged"
    return {**made, "id": id, "status": status, "url": f"{address}/{id}"}


def stage(folder, question):
    # Asked twice for one release, there is one deployment: its record is written when its files are there.
    id = question["release"]
    if not (folder / f"{id}.json").exists():
        shutil.copytree(question["folder"], folder / id, dirs_exist_ok=True)
        new = folder / f"{id}.new"
        new.write_text(json.dumps({key: question[key] for key in ("release", "commit")}))
        new.replace(folder / f"{id}.json")
    return {"deployment": id}


def promote(folder, id):
    # In one move: no user meets an address without pages.
    new = folder / "live.new"
    new.unlink(missing_ok=True)
    new.symlink_to(id)
    new.replace(folder / "live")
    return {"deployment": id}


def act(action, question, folder, address):
    made = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    ids = [file.stem for file in made]
    if action == "current":
        return {"serves": live(folder), "deployments": [shown(folder, address, id) for id in ids]}
    if action == "stage":
        return stage(folder, question)
    if question["deployment"] not in ids:
        sys.exit(f"there is no deployment {question['deployment']}")
    if action == "promote":
        return promote(folder, question["deployment"])
    return {"deployment": shown(folder, address, question["deployment"])}


def main():
    action, folder, address = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    question = json.load(sys.stdin)
    if question.get("schema") != "adapter/1" or question.get("action") != action:
        sys.exit(f"this is no question for {action}")
    folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(act(action, question, folder, address)))


main()
