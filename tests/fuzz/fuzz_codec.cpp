// links: basmalin_series
// The series codec: any bytes are answered, and what decodes encodes and decodes to the same (R3, R4 of shared/series/codec.h).
#include <cstring>

#include "shared/base/bytes.h"
#include "shared/series/codec.h"
#include "tests/fuzz/property.h"

using namespace basmalin;
using fuzz::holds;

namespace {

const Layout* known(uint32_t id) {
    static const Layout layouts[] = {
        {1,
         "bed1",
         {{"temperature", "Cel", ValueKind::Number, 1}, {"humidity", "%", ValueKind::Number, 0}, {"wet", "", ValueKind::Boolean, 0}}},
        {2, "shed", {{"temperature", "Cel", ValueKind::Number, 1}, {"state", "", ValueKind::Text, 0}}},
        {3, "tank", {{"level", "m", ValueKind::Number, 3}}},
        {4, "door", {{"open", "", ValueKind::Boolean, 0}}},
        {5, "fine", {{"level", "m", ValueKind::Number, 15}, {"temperature", "Cel", ValueKind::Number, 1}}},
    };
    return id >= 1 && id <= std::size(layouts) ? &layouts[id - 1] : nullptr;
}

bool same(const Numbers& a, const Numbers& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

bool same(const Rows& a, const Rows& b) {
    if (a.layout != b.layout || a.times_ms != b.times_ms || a.columns.size() != b.columns.size()) return false;
    for (size_t c = 0; c < a.columns.size(); ++c) {
        if (a.columns[c].index() != b.columns[c].index()) return false;
        const auto* numbers = std::get_if<Numbers>(&a.columns[c]);
        if (numbers != nullptr ? !same(*numbers, std::get<Numbers>(b.columns[c])) : a.columns[c] != b.columns[c]) return false;
    }
    return true;
}

void check_body(std::string_view bytes) {
    auto first = decode_body(bytes, known);
    auto definitions = decode_definitions(bytes);
    if (!first) return;
    holds(definitions && *definitions == first->definitions, "definitions alone are those of the body");
    auto again = encode_body(*first, known);
    if (!again && again.error().code == Code::Full) return;  // a compressed body may hold more than its own encoding would
    holds(again.has_value(), "a decoded body encodes");
    auto second = decode_body(*again, known);
    holds(second && second->definitions == first->definitions && second->groups.size() == first->groups.size(), "a body comes back");
    for (size_t i = 0; i < first->groups.size(); ++i) holds(same(first->groups[i], second->groups[i]), "every group comes back");
}

void check_columns(std::string_view bytes) {
    const size_t count = static_cast<uint8_t>(bytes[0]);
    Reader in(bytes.substr(1));
    if (auto values = decode_numbers(in, count)) {
        std::string coded;
        encode_numbers(coded, *values, static_cast<uint8_t>(bytes[0]));
        Reader back(coded);
        auto again = decode_numbers(back, count);
        holds(again && same(*again, *values) && back.at_end(), "numbers come back");
    }
    Numbers doubles(bytes.size() / 8);
    if (doubles.empty()) return;
    std::memcpy(doubles.data(), bytes.data(), doubles.size() * 8);
    std::string coded;
    encode_numbers(coded, doubles, static_cast<uint8_t>(bytes.back()));
    Reader back(coded);
    auto again = decode_numbers(back, doubles.size());
    holds(again && same(*again, doubles) && back.at_end(), "any doubles come back");
    std::vector<int64_t> times(doubles.size());
    std::memcpy(times.data(), bytes.data(), times.size() * 8);
    coded.clear();
    encode_times(coded, times);
    Reader clock(coded);
    auto same_times = decode_times(clock, times.size());
    holds(same_times && *same_times == times && clock.at_end(), "any times come back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes = fuzz::text_of(data, size);
    check_body(bytes);
    if (!bytes.empty()) check_columns(bytes);
    return 0;
}
