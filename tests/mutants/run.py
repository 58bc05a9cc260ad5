# SPDX-License-Identifier: Apache-2.0
"""Plant the faults of the lists beside this file, one at a time, and see which test notices.

The tree is copied into ``.cache/mutants``: nothing here touches the files you work on. Results are
kept by what decides them (the tree, the entry), so a run that was stopped goes on where it was.
Exit status 1: a fault survived, or an entry is of no use; 2: wrong lists or arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pybind11
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / ".cache" / "mutants"
ENGINE = "hw/cpu/src/"
KEYS = {"id", "file", "search", "replace", "why", "tests", "equivalent"}
UNTESTED = ("docs/", "tests/mutants/", "CHANGELOG.md", "README.md")
"""What no test named by a list depends on: a change there keeps the results."""
JOINED = 8
"""Selections of one file that run together without a fault."""
TIMEOUT_S = 900
"""A test that takes longer with a fault in place has noticed it."""


class MutantError(ValueError):
    """A list, an entry or the copy is not as it should be; one line says what."""


class StoppedError(Exception):
    """Tests did not come to an end, for a reason that says nothing of them."""


@dataclass(frozen=True)
class Mutant:
    """One fault: ``search`` occurs once in ``file``, ``replace`` is the faulty text."""

    list: str
    id: str
    file: str
    search: str
    replace: str
    why: str
    tests: tuple[str, ...]
    """Arguments of pytest, each a run of its own; the first that fails kills."""
    equivalent: str
    """Why behaviour cannot change; empty where it does."""

    def plant(self, text: str) -> str:
        """Return a file's text with the fault in it.

        Raises:
            MutantError: ``search`` does not occur exactly once.
        """
        found = text.count(self.search)
        if found != 1:
            raise MutantError(
                f"{self.list}.yaml, {self.id}: found its search text {found} times in {self.file}, "
                "expected once; write it as the file has it now"
            )
        return text.replace(self.search, self.replace)


def lists() -> list[str]:
    """Return the names of the lists."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(names: Sequence[str]) -> list[Mutant]:
    """Read lists and check every entry.

    Raises:
        MutantError: no such list, or an entry is incomplete, twice there, or changes nothing.
    """
    mutants: list[Mutant] = []
    for name in names:
        path = HERE / f"{name}.yaml"
        if not path.is_file():
            raise MutantError(f"{path}: found no such list, expected one of {', '.join(lists())}")
        mutants += [_entry(name, e) for e in yaml.safe_load(path.read_text(encoding="utf-8"))]
    twice = [i for i, count in Counter(m.id for m in mutants).items() if count > 1]
    if twice:
        raise MutantError(f"found the id {twice[0]} twice, expected an id for each entry")
    return mutants


def _entry(name: str, entry: Any) -> Mutant:
    where = f"{name}.yaml, {entry.get('id', entry) if isinstance(entry, dict) else entry!r:.60}"
    if not isinstance(entry, dict) or not KEYS - {"equivalent"} <= set(entry) <= KEYS:
        raise MutantError(f"{where}: expected the keys {', '.join(sorted(KEYS))}")
    tests = entry["tests"]
    texts = [v for k, v in entry.items() if k != "tests"]
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise MutantError(f"{where}: found tests {tests!r:.60}, expected a list of arguments")
    if not all(isinstance(v, str) for v in texts) or entry["search"] == entry["replace"]:
        raise MutantError(f"{where}: expected texts, and another one to replace with")
    return Mutant(
        name, entry["id"], entry["file"], entry["search"], entry["replace"], entry["why"],
        tuple(tests), entry.get("equivalent", ""),
    )  # fmt: skip


def tracked() -> list[str]:
    """Return the files of the tree, those that git does not ignore, relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted({f for f in done.stdout.split("\0") if f and (ROOT / f).is_file()})


def tree_digest(files: Sequence[str]) -> str:
    """Return a digest of every file that may decide a result."""
    digest = hashlib.sha256(f"{sys.version}\n".encode())
    for name in files:
        if not name.startswith(UNTESTED):
            content = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
            digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


class Copy:
    """A copy of the tree, a package ``andpop`` of its own with its own CPU engine."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self.root = folder / "andpop"
        shutil.rmtree(folder, ignore_errors=True)
        for name in files:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        (folder / "finn").mkdir()
        self._build_engine()
        code = "import andpop.hw.cpu.engine as e; print(e.__file__); print(e._engine.__file__)"
        options: dict[str, Any] = {"cwd": self.root, "env": self._environment(), "text": True}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, **options)
        origins = done.stdout.split()
        if len(origins) != 2 or not all(o.startswith(str(self.root)) for o in origins):
            raise MutantError(f"found andpop {origins} {done.stderr[-300:]}, expected {self.root}")
        self._warm = subprocess.Popen(
            [sys.executable, str(HERE / "warm.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )

    @contextlib.contextmanager
    def fault(self, mutant: Mutant) -> Iterator[None]:
        """Hold a fault in place."""
        path = self.root / mutant.file
        text = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.plant(text))
            yield
        finally:
            self._write(path, text)

    def pytest(self, arguments: str, limit: float | None) -> tuple[str, str]:
        """Run tests: ("passed" | "failed" | "broken", which test failed or what went wrong).

        Args:
            arguments: of pytest.
            limit: seconds after which a fault has made the tests hang; None for no limit.
        """
        options = ["-m", "not full", "-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
        log = self.folder / "pytest.log"
        job = {
            "arguments": [*shlex.split(arguments), *options, f"--timeout={TIMEOUT_S}"],
            "log": str(log),
            "limit": limit,
        }
        assert self._warm.stdin is not None and self._warm.stdout is not None
        self._warm.stdin.write(json.dumps(job) + "\n")
        self._warm.stdin.flush()
        answer = self._warm.stdout.readline()
        if not answer:
            raise StoppedError("the process that runs the tests ended; run again")
        code, text = json.loads(answer), log.read_text(encoding="utf-8", errors="replace")
        if code is None:
            return "failed", f"{arguments} (no end)"
        if code < 0:
            return "failed", f"{arguments} (signal {-code})"
        if code == 1:
            found = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(.+?)(?: - .*)?$", text, re.M)
            return "failed", found[1] if found else arguments
        if code == 0 and re.search(r"\d+ passed", text):
            return "passed", ""
        last = "".join(text.strip().splitlines()[-1:])
        return "broken", f"{arguments}: pytest ended with {code}: {last}"

    def close(self) -> None:
        """End the process that runs the tests."""
        self._warm.terminate()
        self._warm.wait()

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Python tells bytecode by size and whole seconds: too coarse for a fault of one letter.
        for old in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            old.unlink()
        if str(path.relative_to(self.root)).startswith(ENGINE):
            self._build_engine()

    def _build_engine(self) -> None:
        """Compile what has no object yet, by content, and link."""
        source = self.root / ENGINE
        headers = b"".join(
            p.read_bytes() for kind in ("hpp", "inc") for p in sorted(source.rglob(f"*.{kind}"))
        )
        folders = [source, pybind11.get_include(), sysconfig.get_path("include")]
        include = [f"-I{folder}" for folder in folders]
        flags = ["-std=c++17", "-O1", "-g0", "-fPIC", "-fvisibility=hidden", "-pthread"]
        objects = []
        for file in sorted(source.rglob("*.cpp")):
            key = hashlib.sha256(headers + file.read_bytes()).hexdigest()[:24]
            made = WORK / "objects" / f"{file.stem}-{key}.o"
            objects.append(made)
            if not made.is_file():
                made.parent.mkdir(parents=True, exist_ok=True)
                partial = made.with_suffix(f".{threading.get_ident()}.tmp")
                _compile(["g++", *flags, *include, "-c", str(file), "-o", str(partial)])
                partial.replace(made)
        target = self.root / "hw/cpu" / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
        fresh = target.with_suffix(".tmp")
        _compile(["g++", "-shared", "-pthread", *map(str, objects), "-o", str(fresh)])
        fresh.replace(target)

    def _environment(self) -> dict[str, str]:
        """The environment of the tests: the copy's package and folders of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANDPOP_", "PYTEST_"))}
        return {
            **kept,
            "PYTHONPATH": str(self.folder),
            "ANDPOP_CACHE": str(WORK / "verilator"),
            "FINN_BUILD_DIR": str(self.folder / "finn"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        error = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr[-200:])
        raise MutantError(f"g++ ended with {done.returncode}: {error}")


class Results:
    """Outcomes by key, on disk after each one."""

    def __init__(self) -> None:
        self._path = WORK / "results.json"
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}
        if self._path.is_file():
            self._known = json.loads(self._path.read_text(encoding="utf-8"))

    def get(self, key: str, make: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        """Return a known outcome, or make and keep it."""
        if key not in self._known:
            outcome = list(make())
            with self._lock:
                self._known[key] = outcome
                fresh = self._path.with_suffix(".tmp")
                fresh.write_text(json.dumps(self._known, indent=0), encoding="utf-8")
                fresh.replace(self._path)
        state, detail = self._known[key]
        return state, detail


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other runs away from the copies.

    Raises:
        MutantError: one is at work.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MutantError(f"{WORK}: another run is at work there; wait for its end") from None
        yield


def verdict(copy: Copy, mutant: Mutant) -> tuple[str, str]:
    """Plant a fault and run its tests: (killed | survived | broken, by what or why)."""
    try:
        with copy.fault(mutant):
            for arguments in mutant.tests:
                state, detail = copy.pytest(arguments, TIMEOUT_S + 60)
                if state != "passed":
                    return ("killed" if state == "failed" else "broken"), detail
    except MutantError as error:
        return "broken", str(error)
    return "survived", mutant.why


def baseline(copy: Copy, arguments: str) -> tuple[str, str]:
    """Run tests without a fault: (passes | broken, what went wrong)."""
    state, detail = copy.pytest(arguments, None)
    return ("passes", "") if state == "passed" else ("broken", f"without a fault: {detail}")


def joined(tests: Sequence[str]) -> dict[str, str]:
    """Return for each test's arguments those of a run that holds it and others of its file.

    Starting Python with its libraries takes longer than most tests. A run that selects nothing
    is found when its fault is planted.
    """
    runs = {arguments: arguments for arguments in tests}
    files: dict[str, list[tuple[str, str]]] = {}
    for arguments in sorted(tests):
        words = shlex.split(arguments)
        if len(words) == 3 and words[1] == "-k":
            files.setdefault(words[0], []).append((arguments, words[2]))
    for file, selections in files.items():
        for start in range(0, len(selections), JOINED):
            part = selections[start : start + JOINED]
            either = " or ".join(f"({expression})" for _, expression in part)
            runs |= {arguments: f"{file} -k {shlex.quote(either)}" for arguments, _ in part}
    return runs


def judged(mutant: Mutant, outcome: tuple[str, str]) -> tuple[str, str]:
    """What an outcome says of an entry, those that are called equivalent included."""
    if not mutant.equivalent or outcome[0] == "broken":
        return outcome
    if outcome[0] == "killed":
        return "broken", f"called equivalent, but killed by {outcome[1]}"
    return "equivalent", mutant.equivalent


def run(mutants: Sequence[Mutant], jobs: int) -> dict[str, tuple[str, str]]:
    """Return the verdict on every mutant by its id; prints each as it comes.

    Raises:
        MutantError: a fault cannot be planted, the copy cannot be built, or another run is at work.
    """
    for mutant in mutants:
        mutant.plant((ROOT / mutant.file).read_text(encoding="utf-8"))
    files = tracked()
    tree = tree_digest(files)
    results = Results()
    made: list[Copy] = []
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for number in range(jobs):
        print(f"copy {number + 1} of {jobs}: {len(files)} files, CPU engine", flush=True)
        made.append(Copy(WORK / f"copy{number}", files))
        copies.put(made[-1])

    def work(key: str, task: Callable[[Copy], tuple[str, str]]) -> tuple[str, str]:
        copy = copies.get()
        try:
            digest = hashlib.sha256(f"{tree}\n{key}".encode()).hexdigest()
            return results.get(digest, lambda: task(copy))
        finally:
            copies.put(copy)

    runs = joined(list(dict.fromkeys(t for m in mutants for t in m.tests)))
    with ThreadPoolExecutor(jobs) as pool:
        try:
            whole = _collect(
                "without a fault",
                {
                    pool.submit(work, r, lambda c, r=r: baseline(c, r)): r
                    for r in dict.fromkeys(runs.values())
                },
            )
            passing = {t: whole[r] for t, r in runs.items()}
            usable = [m for m in mutants if all(passing[t][0] == "passes" for t in m.tests)]
            found = _collect(
                "faults",
                {
                    pool.submit(work, json.dumps(asdict(m)), lambda c, m=m: verdict(c, m)): m.id
                    for m in usable
                },
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in made:
                copy.close()
    for mutant in mutants:
        if mutant.id not in found:
            found[mutant.id] = next(passing[t] for t in mutant.tests if passing[t][0] == "broken")
    return {m.id: judged(m, found[m.id]) for m in mutants}


def _collect(what: str, pending: dict[Future[tuple[str, str]], str]) -> dict[str, tuple[str, str]]:
    """Wait for tasks, telling of each."""
    start = time.monotonic()
    found = {}
    for number, future in enumerate(as_completed(pending), 1):
        name = pending[future]
        found[name] = state, detail = future.result()
        seconds = time.monotonic() - start
        line = f"{what} {number}/{len(pending)}, {seconds:.0f} s: {name:.99}: {state} {detail}"
        print(line.rstrip(), flush=True)
    return found


def table(mutants: Sequence[Mutant], verdicts: dict[str, tuple[str, str]]) -> str:
    """Return the outcome of every entry and the totals, as Markdown."""
    said = {"killed": "killed by", "survived": "**survived**:", "broken": "**of no use**:"}
    lines = ["| fault | file | outcome |", "|---|---|---|"]
    for m in mutants:
        state, detail = verdicts[m.id]
        lines.append(f"| {m.id} | {m.file} | {said.get(state, state + ':')} {detail} |")
    states = ("killed", "survived", "equivalent", "broken")
    lines += ["", f"| list | faults | {' | '.join(states)} |", "|---|---:|---:|---:|---:|---:|"]
    for name in [*dict.fromkeys(m.list for m in mutants), "all"]:
        chosen = [verdicts[m.id][0] for m in mutants if name in (m.list, "all")]
        counts = " | ".join(str(chosen.count(state)) for state in states)
        lines.append(f"| {name} | {len(chosen)} | {counts} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lists and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--list", nargs="+", default=lists(), metavar="LIST", help="rtl python cpp")
    parser.add_argument("--only", nargs="+", metavar="ID", help="these faults alone")
    parser.add_argument("--jobs", type=int, default=2, help="copies worked on at a time")
    options = parser.parse_args(arguments)
    try:
        mutants = load(options.list)
        if options.only:
            unknown = sorted(set(options.only) - {m.id for m in mutants})
            if unknown:
                raise MutantError(f"found no entry {unknown[0]} in {', '.join(options.list)}")
            mutants = [m for m in mutants if m.id in options.only]
        if options.jobs < 1:
            raise MutantError(f"--jobs: found {options.jobs}, expected 1 or more")
        with alone():
            verdicts = run(mutants, options.jobs)
    except (MutantError, StoppedError) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mutants: stopped; the next run goes on from here", file=sys.stderr)
        return 130
    print(table(mutants, verdicts))
    return int(any(state in ("survived", "broken") for state, _ in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
