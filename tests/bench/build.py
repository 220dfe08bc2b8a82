"""Builds the benchmarks, and the programs that they measure, in release."""
import os
import subprocess
import time

from rig import BUILD, ROOT, CannotMeasure, at_most, scratch


def build(targets):
    configure = ["cmake", "--preset", "release", "-S", str(ROOT), "-B", str(BUILD), "-DBASMALIN_TESTS=ON"]
    for command in (configure, ["cmake", "--build", str(BUILD), "--target", *targets]):
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise CannotMeasure("the build failed:\n" + done.stdout[-3000:])


def timed(command, environment):
    began = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise CannotMeasure(f"{command[0]} failed:\n" + done.stdout[-3000:])
    return time.monotonic() - began


def clean_build():
    """Everything that is installed, from nothing, without a compiler cache."""
    with scratch() as folder:
        configure = timed(["cmake", "--preset", "release", "-B", folder / "build"], {"CCACHE_DISABLE": "1"})
        took = configure + timed(["cmake", "--build", folder / "build"], {"CCACHE_DISABLE": "1"})
        return [at_most("clean release build", took / 60, "min", 6)]


def warm_tests():
    timed(["tests/run", "-R", "^Result"], {})  # builds what is not built yet
    return [at_most("tests/run on a warm build", timed(["tests/run"], {}) / 60, "min", 8)]
