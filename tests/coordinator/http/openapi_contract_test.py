#!/usr/bin/env python3
"""Holds the server to coordinator/http/openapi.yaml: every path, parameter, status and answer, in both directions.

Usage: openapi_contract_test.py API_FIXTURE_PROGRAM OPENAPI_YAML
"""
import json
import subprocess
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

import jsonschema
import yaml

fixture_program, document_path = sys.argv[1:3]
with open(document_path, encoding="utf-8") as file:
    document = yaml.safe_load(file)


def resolved(node):
    while "$ref" in node and node["$ref"].startswith("#/components/") and "/schemas/" not in node["$ref"]:
        target = document
        for part in node["$ref"][2:].split("/"):
            target = target[part]
        node = target
    return node


def complaints(value, schema):
    whole = {"components": document["components"], "allOf": [schema]}
    validator = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(value)]


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fixture = subprocess.Popen([fixture_program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.port = int(cls.fixture.stdout.readline())
        cls.token = cls.fixture.stdout.readline().strip()
        cls.routes = [line.strip() for line in iter(cls.fixture.stdout.readline, ".\n")]

    @classmethod
    def tearDownClass(cls):
        cls.fixture.stdin.close()
        assert cls.fixture.wait(20) == 0

    def ask(self, path, query=None, token=True, headers=None, method="GET"):
        url = f"http://127.0.0.1:{self.port}{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, refused.read().decode()

    def check(self, path, operation, status, headers, body):
        """The answer is one that the document describes."""
        responses = operation["responses"]
        described = responses.get(str(status)) or responses.get(f"{str(status)[0]}XX")
        self.assertIsNotNone(described, f"{path}: status {status} is not in the document: {body[:300]}")
        described = resolved(described)
        if "content" not in described:
            self.assertEqual(body, "", path)
            return
        kind = headers["Content-Type"].split(";")[0].strip()
        self.assertIn(kind, described["content"], f"{path}: {status}")
        for name in described.get("headers", {}):
            self.assertIn(name, headers, f"{path}: {status}")
        value = json.loads(body) if kind == "application/json" else body
        self.assertEqual(complaints(value, described["content"][kind]["schema"]), [], f"{path}: {status}: {body[:500]}")

    def operations(self):
        for path, item in document["paths"].items():
            for method, operation in item.items():
                self.assertEqual(method, "get", path)
                parameters = [resolved(p) for p in operation.get("parameters", [])]
                real = path
                for parameter in parameters:
                    if parameter["in"] == "path":
                        real = real.replace("{" + parameter["name"] + "}", parameter["example"])
                yield path, real, operation, [p for p in parameters if p["in"] == "query"]

    @staticmethod
    def base(path, name=None):
        if path != "/api/readings":
            return {}
        return {"node": "greenhouse-pi"} if name in ("node", "device", "quantity") else {"series": "1"}

    def test_document_and_server_have_the_same_routes(self):
        documented = sorted(f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item)
        self.assertEqual(documented, sorted(self.routes))

    def test_every_answer_is_as_described(self):
        for path, real, operation, _ in self.operations():
            with self.subTest(path=path):
                status, headers, body = self.ask(real, self.base(path))
                self.assertEqual(status, 200, body)
                self.check(path, operation, status, headers, body)

    def test_every_parameter_is_taken(self):
        for path, real, operation, query in self.operations():
            for parameter in query:
                if "example" not in parameter:
                    continue
                with self.subTest(path=path, parameter=parameter["name"]):
                    asked = self.base(path, parameter["name"]) | {parameter["name"]: parameter["example"]}
                    status, headers, body = self.ask(real, asked)
                    self.assertEqual(status, 200, body)
                    self.check(path, operation, status, headers, body)

    def test_every_value_of_a_choice_is_taken(self):
        for path, real, operation, query in self.operations():
            for parameter in query:
                schema = parameter["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
                for value in schema.get("enum", []):
                    with self.subTest(path=path, parameter=parameter["name"], value=value):
                        status, headers, body = self.ask(real, self.base(path) | {parameter["name"]: value})
                        self.assertEqual(status, 200, body)
                        self.check(path, operation, status, headers, body)

    def test_a_wrong_value_of_a_number_or_choice_is_refused(self):
        for path, real, operation, query in self.operations():
            for parameter in query:
                schema = parameter["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
                if schema.get("type") != "integer" and "enum" not in schema:
                    continue
                with self.subTest(path=path, parameter=parameter["name"]):
                    status, headers, body = self.ask(real, self.base(path) | {parameter["name"]: "lots"})
                    self.assertEqual(status, 400, body)
                    self.check(path, operation, status, headers, body)
                    self.assertIn(parameter["name"], json.loads(body)["error"]["message"])

    def test_unknown_parameters_are_refused_and_the_known_ones_listed(self):
        for path, real, operation, query in self.operations():
            if "400" not in operation["responses"]:
                continue
            with self.subTest(path=path):
                status, headers, body = self.ask(real, self.base(path) | {"colour": "red"})
                self.assertEqual(status, 400, body)
                self.check(path, operation, status, headers, body)
                error = json.loads(body)["error"]
                self.assertIn("colour", error["message"])
                known = {p["name"] for p in query}
                listed = set(error["hint"].removeprefix("known here: ").split(", ")) if known else set()
                self.assertEqual(listed, known)

    def test_what_is_secured_needs_the_token(self):
        for path, real, operation, _ in self.operations():
            with self.subTest(path=path):
                status, headers, body = self.ask(real, self.base(path), token=False)
                if operation.get("security", document["security"]):
                    self.assertEqual(status, 401)
                    self.check(path, operation, status, headers, body)
                else:
                    self.assertEqual(status, 200)

    def test_what_is_not_there_is_a_404(self):
        for path, _, operation, _ in self.operations():
            if "{" not in path:
                continue
            with self.subTest(path=path):
                status, headers, body = self.ask(path.replace("{id}", "nobody"))
                self.assertEqual(status, 404)
                self.check(path, operation, status, headers, body)

    def test_copies_are_confirmed_with_a_304(self):
        for path, real, operation, _ in self.operations():
            if "304" not in operation["responses"]:
                continue
            with self.subTest(path=path):
                tag = self.ask(real)[1]["ETag"]
                status, headers, body = self.ask(real, headers={"If-None-Match": tag})
                self.assertEqual(status, 304)
                self.check(path, operation, status, headers, body)

    def test_the_other_formats(self):
        for path, headers, query in (("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"}, {}),
                                     ("/api/readings", {"Accept": "text/csv"}, {"series": "1"}),
                                     ("/api/readings", {}, {"series": "1", "format": "csv", "step": "1h"})):
            with self.subTest(path=path, query=query):
                status, received, body = self.ask(path, query, headers=headers)
                self.assertEqual(status, 200)
                self.check(path, document["paths"][path]["get"], status, received, body)
                self.assertNotIn("json", received["Content-Type"])

    def test_every_example_fits_its_schema(self):
        def walk(node, where):
            if isinstance(node, dict):
                if "schema" in node and "content" not in node:
                    examples = [node["example"]] if "example" in node else [e["value"] for e in node.get("examples", {}).values()]
                    for example in examples:
                        with self.subTest(where=where):
                            self.assertEqual(complaints(example, node["schema"]), [])
                for key, value in node.items():
                    walk(value, f"{where}/{key}")
            elif isinstance(node, list):
                for index, value in enumerate(node):
                    walk(value, f"{where}/{index}")

        walk({"paths": document["paths"], "components": document["components"]}, "")

    def test_the_served_document_is_the_file(self):
        with open(document_path, encoding="utf-8") as written:
            self.assertEqual(self.ask("/api/openapi.yaml")[2], written.read())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
