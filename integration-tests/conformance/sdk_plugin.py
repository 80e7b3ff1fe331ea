"""A pytest plugin for the OpenAI SDK's own tests: gives them our key, and writes down what each of them asks for.

CONFORMANCE_RECORD  file to which one JSON line a test is appended: {"test", "passed", "asked": [[method, path], ...]}
CONFORMANCE_KEY     key to use in the place of theirs; none: theirs
CONFORMANCE_TESTS   file with the tests to run, one a line; none: all that are collected
"""

import json
import os
import sys

import pytest
from openai._base_client import BaseClient

asked = []
build_request = BaseClient._build_request


def note_request(self, options, **more):
    asked.append([options.method.upper(), options.url])
    return build_request(self, options, **more)


BaseClient._build_request = note_request


def pytest_collection_modifyitems(items):
    if "CONFORMANCE_KEY" in os.environ:
        sys.modules["tests.conftest"].api_key = os.environ["CONFORMANCE_KEY"]
    if "CONFORMANCE_TESTS" in os.environ:
        with open(os.environ["CONFORMANCE_TESTS"]) as file:
            chosen = set(file.read().splitlines())
        items[:] = [item for item in items if item.nodeid in chosen]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    asked.clear()
    return (yield)


def pytest_runtest_logreport(report):
    # A test that never gets to its call failed, or was skipped, before.
    if report.when == "call" or (report.when == "setup" and not report.passed):
        line = {"test": report.nodeid, "passed": report.passed, "asked": asked}
        with open(os.environ["CONFORMANCE_RECORD"], "a") as file:
            file.write(json.dumps(line) + "\n")
