"""Does a real tensorboard read the events that hone wrote? Run by tests/interop/test_tensorboard.sh.

usage: read_events.py EVENTS_DIRECTORY TRAINER_STATE.json

Every number of the state's log_history must be there as a scalar under the Trainer's name, at its step, once, and no other up
to the state's last step.
Status 1 when one is not.
"""
import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def tag_of(key):
    for prefix in ("eval_", "test_"):
        if key.startswith(prefix):
            return prefix[:-1] + "/" + key[len(prefix):]
    return "train/" + key


def main():
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    want = {}
    for entry in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["log_history"]:
        for key, value in entry.items():
            if key != "step":
                want.setdefault(tag_of(key), []).append((entry["step"], value))
    have = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    last = max(step for points in want.values() for step, _ in points)
    problems = [f"{tag} is missing" for tag in want if tag not in have]
    for tag, points in have.items():
        if tag not in want:
            problems += [f"{tag} at {step} is not in the log" for step, _ in points if step <= last]
            continue
        logged = [(step, value) for step, value in points if step in dict(want[tag])]
        if [s for s, _ in logged] != [s for s, _ in want[tag]]:
            problems.append(f"{tag}: steps {[s for s, _ in points]}, the log has {[s for s, _ in want[tag]]}")
        elif not all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for (_, a), (_, b) in zip(logged, want[tag])):
            problems.append(f"{tag}: {logged} is not {want[tag]}")
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    if "learning_rate" not in texts.get("args/text_summary", ""):
        problems.append(f"the arguments are not among the texts {sorted(texts)}")
    print("\n".join(problems) or f"ok: {sum(map(len, have.values()))} scalars of {len(have)} tags, texts {sorted(texts)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
