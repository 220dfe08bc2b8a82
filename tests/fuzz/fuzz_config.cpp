// links: basmalin_config
// Settings: any bytes as a file, or as an override, give a result or an error of clean text; what loads dumps to what loads.
#include <cstdint>

#include "shared/base/ids.h"
#include "shared/config/config.h"
#include "tests/fuzz/property.h"

using namespace basmalin;
using fuzz::holds;

namespace {

struct Row {
    std::string name = "x";
    int64_t count = 1;
};
struct Fields {
    std::string node = "x";
    std::string level = "info";
    bool flag = false;
    int64_t count = 1;
    int64_t bytes = 1;
    double number = 0.5;
    uint16_t port = 1;
    Duration wait = seconds(1);
    std::vector<std::string> topics;
    std::vector<Row> rows;
};

void declare(Schema& s, Fields& f) {
    s.text("node", f.node, "Text.");
    s.section("a", "A.");
    s.integer("count", f.count, INT64_MIN, INT64_MAX, "Whole.");
    s.bytes("bytes", f.bytes, 0, INT64_MAX, "Size.");
    s.choice("level", f.level, {"info", "warn"}, "Choice.");
    s.section("a.b", "B.");
    s.number("number", f.number, -1e300, 1e300, "Number.");
    s.port("port", f.port, "Port.");
    s.flag("flag", f.flag, "Flag.");
    s.duration("wait", f.wait, seconds(0), hours(100'000), "Time.");
    s.texts("topics", f.topics, "Texts.");
    s.table<Row>("row", f.rows, "Rows.", [](Schema& row, Row& one) {
        row.text("name", one.name, "Text.");
        row.integer("count", one.count, 0, 100, "Whole.");
    });
}

void check(std::string_view toml, const std::vector<std::string>& overrides) {
    Fields fields;
    Schema schema;
    declare(schema, fields);
    const std::string before = schema.dump();
    if (auto loaded = schema.load_text(toml, "f", overrides); !loaded) {
        holds(!loaded.error().text.empty() && is_utf8(loaded.error().text), "an error is text");
        for (const char c : loaded.error().text) holds(c == '\n' || static_cast<unsigned char>(c) >= 0x20, "an error has no control characters");
        holds(schema.dump() == before, "nothing is assigned unless everything is right");
        return;
    }
    const std::string dump = schema.dump();
    holds(schema.load_text(dump, "dump").has_value(), "a dump loads");
    holds(schema.dump() == dump, "and gives itself");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(text, {});
    check("", {std::string(text)});
    check("", {"a.b.topics=" + std::string(text)});
    return 0;
}
