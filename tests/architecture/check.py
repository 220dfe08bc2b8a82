#!/usr/bin/env python3
"""The architecture as a test.

R1  Arrows: shared/base <- shared/* <- agent | coordinator | firmware-bridge; those three never include each other.
R2  A third-party header appears only in a file named after its library (beast_server.cpp). Where such a file is a header,
    only files named after the same library include it: nothing of the library shows further out.
R3  A topic of the fleet is spelled only in shared/wire.
R4  No source file is longer than 500 lines.

check.py FOLDER      checks a tree: one line per violation, exit status 1 if there is any
check.py --self-test checks that each violation is found in a tree made up for it, and none in a good one
"""
import os
import re
import sys
import tempfile

PROGRAMS = ("agent", "coordinator", "firmware-bridge")
CODE_FOLDERS = ("shared",) + PROGRAMS
LINES_MAX = 500

# What an #include begins with -> how the files that may have it begin.
LIBRARIES = {
    "sqlite3": ("sqlite_",),
    "mosquitto": ("mosquitto_",),
    "mqtt_protocol": ("mosquitto_",),
    "mqtt/": ("paho_",),
    "MQTT": ("paho_",),
    "boost/asio": ("asio_", "beast_"),
    "boost/beast": ("beast_",),
    "boost/": ("asio_", "beast_", "boost_"),
    "zstd": ("zstd_",),
    "zdict": ("zstd_",),
    "zlib": ("zlib_",),
    "nlohmann/": ("nlohmann_",),
    "spdlog/": ("spdlog_",),
    "fmt/": ("spdlog_",),
    "toml": ("tomlplusplus_",),
    "httplib": ("httplib_",),
    "CLI/": ("cli11_",),
    "openssl/": ("openssl_", "beast_"),
    "modbus": ("modbus_",),
    "systemd/": ("systemd_",),
    "curl/": ("curl_",),
    "archive": ("archive_",),
    "gtest": (),
    "gmock": (),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TOPIC = re.compile(r'fleet/1(?![0-9])')


def code_files(root, folders):
    for folder in folders:
        for path, names, files in os.walk(os.path.join(root, folder)):
            names.sort()
            for name in sorted(files):
                if name.endswith((".h", ".cpp", ".hpp", ".cc", ".c")):
                    yield os.path.relpath(os.path.join(path, name), root)


def library_of(header):
    # The longest beginning wins: boost/asio before boost/.
    found = [start for start in LIBRARIES if header.startswith(start)]
    return max(found, key=len) if found else None


def room_of(path):
    parts = path.split(os.sep)
    return parts[0], parts[1] if len(parts) > 2 else ""


def named_after(path, library):
    return os.path.basename(path).startswith(LIBRARIES[library])


def check_include(path, line, quote, header, carriers, say):
    program, room = room_of(path)
    to_program, to_room = room_of(header)
    if to_program in CODE_FOLDERS and quote == '"':
        if to_program in PROGRAMS and to_program != program:
            say(path, line, f"R1: {program} must not include {to_program}")
        elif (program, room) == ("shared", "base") and (to_program, to_room) != ("shared", "base"):
            say(path, line, f"R1: shared/base stands on nothing, not on {to_program}/{to_room}")
        for library in sorted(carriers.get(header, ())):
            if not named_after(path, library):
                say(path, line, f"R2: {header} carries <{library}…>: only files named {' or '.join(LIBRARIES[library])}… include it")
                break
        return
    library = library_of(header)
    if library is None:
        return
    if not named_after(path, library):
        say(path, line, f"R2: <{header}> belongs into a file named {' or '.join(p + '*.cpp' for p in LIBRARIES[library]) or 'of tests/'}")


def carriers_in(sources):
    """Headers named after a library that include it: path -> libraries."""
    carriers = {}
    for path, lines in sources.items():
        if path.endswith(".cpp"):
            continue
        for text in lines:
            include = INCLUDE.match(text)
            library = library_of(include.group(2)) if include and room_of(include.group(2))[0] not in CODE_FOLDERS else None
            if library and named_after(path, library):
                carriers.setdefault(path, set()).add(library)
    return carriers


def check(root):
    violations = []
    sources = {}
    for path in code_files(root, CODE_FOLDERS):
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            sources[path] = file.read().splitlines()
    carriers = carriers_in(sources)

    def say(path, line, what):
        violations.append(f"{path}:{line}: {what}")

    for path, lines in sources.items():
        for number, text in enumerate(lines, 1):
            include = INCLUDE.match(text)
            if include:
                check_include(path, number, include.group(1), include.group(2), carriers, say)
            code = re.sub(r"^\s*(//|\*).*|\s//\s.*", "", text)
            if TOPIC.search(code) and room_of(path) != ("shared", "wire"):
                say(path, number, "R3: topics are built and parsed by shared/wire only")
        if len(lines) > LINES_MAX:
            say(path, len(lines), f"R4: {len(lines)} lines, at most {LINES_MAX}: split it")
    for path in code_files(root, ("tests",)):
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            count = sum(1 for _ in file)
        if count > LINES_MAX:
            say(path, count, f"R4: {count} lines, at most {LINES_MAX}: split it")
    return violations


GOOD = {
    "shared/base/json.h": '#include "shared/base/result.h"\n#include <string>\n',
    "shared/base/nlohmann_json.cpp": "#include <nlohmann/json.hpp>\n",
    "shared/wire/topics.cpp": 'const char* t = "fleet/1/";\n#include "shared/base/ids.h"\n',
    "shared/mqtt/mosquitto_link.cpp": "#include <mosquitto.h>\n#include <mqtt_protocol.h>\n",
    "shared/http/beast_server.cpp": "#include <boost/beast/core.hpp>\n#include <boost/asio/ip/tcp.hpp>\n",
    "shared/http/beast_session.h": "#include <boost/beast/core.hpp>\n#include <boost/asio/ip/tcp.hpp>\n",
    "shared/http/beast_session.cpp": '#include "shared/http/beast_session.h"\n',
    "agent/app/main.cpp": '#include "shared/wire/topics.h"\n#include "agent/buffer/buffer.h"\n// speaks fleet/1/<node>/up\n',
    "coordinator/store/sqlite_store.cpp": '#include <sqlite3.h>\n#include "coordinator/store/store.h"\n',
    "tests/agent/x_test.cpp": '#include <gtest/gtest.h>\n#include <mosquitto.h>\n#include "coordinator/store/store.h"\nconst char* t = "fleet/1/gw";\n',
    "agent/app/exactly.cpp": "\n" * LINES_MAX,
}
BAD = [  # path, content, the rule and a word of what is said
    ("agent/app/a.cpp", '#include "coordinator/store/store.h"\n', "R1", "must not include coordinator"),
    ("coordinator/app/a.cpp", '#include "agent/buffer/buffer.h"\n', "R1", "must not include agent"),
    ("firmware-bridge/app/a.cpp", '#include "agent/buffer/buffer.h"\n', "R1", "must not include agent"),
    ("agent/app/a.h", '#  include "firmware-bridge/app/a.h"\n', "R1", "must not include firmware-bridge"),
    ("shared/wire/a.h", '#include "agent/app/a.h"\n', "R1", "shared must not include agent"),
    ("shared/series/a.cpp", '#include "coordinator/app/a.h"\n', "R1", "shared must not include coordinator"),
    ("shared/base/a.cpp", '#include "shared/wire/topics.h"\n', "R1", "stands on nothing"),
    ("agent/buffer/buffer.cpp", "#include <sqlite3.h>\n", "R2", "sqlite_"),
    ("agent/buffer/buffer.h", "#include <sqlite3.h>\n", "R2", "sqlite_"),
    ("shared/http/server.cpp", '#include "shared/http/beast_session.h"\n', "R2", "carries <boost"),
    ("coordinator/ingest/ingest.cpp", "#include <mqtt/async_client.h>\n", "R2", "paho_"),
    ("shared/loop/loop.cpp", "#include <boost/asio.hpp>\n", "R2", "asio_"),
    ("shared/http/asio_server.cpp", "#include <boost/beast/http.hpp>\n", "R2", "beast_"),
    ("shared/base/log.cpp", "#include <spdlog/spdlog.h>\n", "R2", "spdlog_"),
    ("shared/mqtt/link.cpp", "#include <mosquitto.h>\n", "R2", "mosquitto_"),
    ("shared/config/config.cpp", "#include <toml++/toml.h>\n", "R2", "tomlplusplus_"),
    ("agent/app/main.cpp", "#include <gtest/gtest.h>\n", "R2", "tests/"),
    ("agent/uplink/uplink.cpp", 'auto t = "fleet/1/" + node;\n', "R3", "shared/wire"),
    ("shared/mqtt/x.cpp", 'subscribe("$share/coordinator/fleet/1/+/up");\n', "R3", "shared/wire"),
    ("coordinator/app/long.cpp", "\n" * (LINES_MAX + 1), "R4", "501 lines"),
    ("tests/agent/long_test.cpp", "\n" * (LINES_MAX + 1), "R4", "501 lines"),
]


def tree(files):
    folder = tempfile.TemporaryDirectory()
    for path, content in files.items():
        full = os.path.join(folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
    return folder


def self_test():
    wrong = []
    with tree(GOOD) as good:
        wrong += [f"false alarm: {one}" for one in check(good)]
    for path, content, rule, word in BAD:
        with tree({**GOOD, path: content}) as bad:
            found = check(bad)
        if len(found) != 1 or not found[0].startswith(path + ":") or rule not in found[0] or word not in found[0]:
            wrong.append(f"{path} with {content[:60]!r}: expected {rule} ({word}), found {found}")
    return wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    complaints = self_test() if sys.argv[1] == "--self-test" else check(sys.argv[1])
    for one in complaints:
        print(one)
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
