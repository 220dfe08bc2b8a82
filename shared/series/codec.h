// The columnar codec of readings: what a batch's body holds. Pure; includes neither Asio nor SQLite nor spdlog.
// R1  Lossless as a number: every finite double comes back bit for bit; a short decimal (21.4) travels as a scaled integer
//     (214 with one decimal), anything else as its 8 bytes. NaN, infinities and -0.0 survive as their 8 bytes.
// R2  A Layout names what one device reports together. Rows refer to a layout by id; the decoder needs its columns (kinds and
//     decimals), which travel once as definitions. A column that does not fit its layout's decimals says so itself.
// R3  decode() of any bytes returns a body or an error. It trusts no count: all columns of a body together hold at most
//     DecodeLimits::values_max values (8 bytes a number, 1 a boolean) and the texts at most bytes_max bytes; a group has a row,
//     and a row takes at least a byte of the input for its time, so that memory is bounded by the bytes given.
// R4  decode(encode(body)) == body, rows and columns in the order given.
// R5  The whole body is zstd-compressed when that is smaller; decompression is bounded by DecodeLimits::bytes_max.
// R6  encode_body() refuses what decode_body() with the default limits would refuse: Full for a body that has to be split,
//     Invalid for one that contradicts itself. What it returns can always be decoded.
// The byte format is in shared/wire/README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "shared/base/result.h"
#include "shared/series/reading.h"

namespace basmalin {

struct Column {
    std::string quantity{};
    std::string unit{};
    ValueKind kind = ValueKind::Number;
    uint8_t decimals = 0;  // for Number: the usual scale, 0-15
    bool operator==(const Column&) const = default;
};

// Ids are per stream, start at 1 and are never used twice within it.
struct Layout {
    uint32_t id = 0;
    std::string device{};
    std::vector<Column> columns{};  // 1-64
    bool operator==(const Layout&) const = default;
};

using Numbers = std::vector<double>;
using Booleans = std::vector<uint8_t>;  // 0 or 1
using Texts = std::vector<std::string>;
using ColumnValues = std::variant<Numbers, Booleans, Texts>;  // index == ValueKind

// Rows of one layout: times[i] belongs to value i of every column.
struct Rows {
    uint32_t layout = 0;
    std::vector<int64_t> times_ms{};      // since boot
    std::vector<ColumnValues> columns{};  // as the layout's
    bool operator==(const Rows&) const = default;
};

struct Body {
    std::vector<Layout> definitions{};
    std::vector<Rows> groups{};
    bool operator==(const Body&) const = default;  // NaN compares unequal: tests compare bits
};

struct DecodeLimits {
    size_t bytes_max = 1 << 20;  // decompressed
    size_t values_max = 1 << 18;
    size_t definitions_max = 4096;
};

// Finds a layout by id: among known ones, or null. Definitions inside the body itself are found without it.
using LayoutLookup = std::function<const Layout*(uint32_t id)>;

// A unit as it may travel: at most 64 bytes of UTF-8 without control characters; may be empty. Devices and quantities are labels,
// a quantity stands once in a layout.
bool is_unit(std::string_view text);

// Every group has a row; its layout must be found, have the group's columns, and each column times_ms.size() values: else Invalid.
Result<std::string> encode_body(const Body& body, const LayoutLookup& layouts);

// NotFound when a group's layout is unknown (the batch is whole, its definitions are elsewhere). Corrupt for damage.
Result<Body> decode_body(std::string_view bytes, const LayoutLookup& layouts, const DecodeLimits& limits = {});
// Only the definitions, without needing any layout.
Result<std::vector<Layout>> decode_definitions(std::string_view bytes, const DecodeLimits& limits = {});

// The least decimals (0-15) with which the value is a scaled integer below 2^53 that divides back to the same bits, or -1.
int decimals_of(double value);

// Column codec shared by batches and the store's chunks. `decimals_hint` is tried first.
void encode_numbers(std::string& out, const Numbers& values, uint8_t decimals_hint);
void encode_times(std::string& out, const std::vector<int64_t>& times_ms);
class Reader;
Result<Numbers> decode_numbers(Reader& in, size_t count);
Result<std::vector<int64_t>> decode_times(Reader& in, size_t count);

// zstd with a bound; level 3 unless told otherwise.
std::string compress(std::string_view bytes, int level = 3);
Result<std::string> decompress(std::string_view bytes, size_t bytes_max);

}  // namespace basmalin
