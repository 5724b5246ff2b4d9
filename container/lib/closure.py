#!/usr/bin/python3
"""Prints the installed packages that a set of Debian packages needs to run.

usage: closure.py PACKAGE... -- PACKAGE...
The packages after -- are left out, and with them what only they need.
"""
import re
import subprocess
import sys


def names(field):
    """Names in a field such as `libblas3 | libblas.so.3, zlib1g (>= 1:1.2)`."""
    for clause in field.split(","):
        choices = [re.sub(r"[ (:\[<].*", "", c.strip()) for c in clause.split("|")]
        choices = [c for c in choices if c]
        if choices:
            yield choices


def installed():
    """Needs of every installed package, and who provides a virtual one."""
    form = "${Package}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    text = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    needs, provided = {}, {}
    for line in text.splitlines():
        package, status, depends, provides = line.split("\t")
        if status != "installed":
            continue
        needs[package] = list(names(depends))
        for choices in names(provides):
            provided.setdefault(choices[0], package)
    return needs, provided


def main():
    split = sys.argv.index("--")
    todo, left_out = sys.argv[1:split], set(sys.argv[split + 1:])
    needs, provided = installed()
    for package in todo:
        if package not in needs:
            sys.exit(f"{package} is not installed; run container/install-deps cluster")
    found = []
    while todo:
        package = todo.pop(0)
        if package in found or package in left_out:
            continue
        found.append(package)
        for choices in needs[package]:
            # The first choice that is here satisfies the clause.
            for choice in choices:
                real = choice if choice in needs else provided.get(choice)
                if real:
                    todo.append(real)
                    break
    print("\n".join(found))


main()
