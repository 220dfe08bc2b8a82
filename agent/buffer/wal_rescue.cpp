#include "agent/buffer/wal_rescue.h"

#include <optional>

#include "agent/buffer/buffer_file.h"
#include "shared/base/file.h"

namespace basmalin::agent {
namespace {

constexpr size_t page_bytes = 1024;
constexpr size_t wal_header_bytes = 32;
constexpr size_t frame_header_bytes = 24;
constexpr uint8_t table_leaf = 0x0d;
constexpr size_t local_max = page_bytes - 35;
constexpr size_t local_min = (page_bytes - 12) * 32 / 255 - 23;

uint8_t byte_at(std::string_view b, size_t at) { return at < b.size() ? static_cast<uint8_t>(b[at]) : uint8_t{0}; }
uint32_t big_endian(std::string_view b, size_t at, size_t n) {
    uint32_t v = 0;
    for (size_t i = 0; i < n; ++i) v = v << 8 | byte_at(b, at + i);
    return v;
}

// SQLite's varint: seven bits a byte, most significant first, the ninth byte whole.
std::optional<uint64_t> varint(std::string_view b, size_t& at) {
    uint64_t v = 0;
    for (int i = 0; i < 9; ++i) {
        if (at >= b.size()) return {};
        const uint8_t c = byte_at(b, at++);
        if (i == 8) return v << 8 | c;
        v = v << 7 | (c & 0x7f);
        if ((c & 0x80) == 0) return v;
    }
    return {};
}

// Big-endian two's complement, of the serial types 0 - 6, 8, 9.
std::optional<int64_t> integer(std::string_view b, size_t& at, uint64_t type) {
    static constexpr size_t sizes[] = {0, 1, 2, 3, 4, 6, 8};
    if (type == 8 || type == 9) return static_cast<int64_t>(type - 8);
    if (type > 6 || at + sizes[type] > b.size()) return {};
    uint64_t v = type != 0 && (byte_at(b, at) & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < sizes[type]; ++i) v = v << 8 | byte_at(b, at++);
    return static_cast<int64_t>(v);
}

class Log {
  public:
    explicit Log(std::string_view wal) : wal_(wal) {
        for (size_t at = wal_header_bytes; at + frame_header_bytes + page_bytes <= wal_.size(); at += frame_header_bytes + page_bytes)
            latest_[big_endian(wal_, at, 4)] = at + frame_header_bytes;
    }
    template <class Each>
    void each_page(Each&& each) const {
        for (size_t at = wal_header_bytes; at + frame_header_bytes + page_bytes <= wal_.size(); at += frame_header_bytes + page_bytes)
            each(big_endian(wal_, at, 4), wal_.substr(at + frame_header_bytes, page_bytes));
    }
    // The payload of the cell at `at`, its overflow pages included as far as the log has them.
    std::string payload(std::string_view page, size_t at, uint64_t size) const {
        if (size > batch_bytes_max + 256) return {};
        const size_t spill = local_min + (static_cast<size_t>(size) - local_min) % (page_bytes - 4);
        const size_t local = size <= local_max ? static_cast<size_t>(size) : spill <= local_max ? spill : local_min;
        if (at + local > page.size()) return {};
        std::string out(page.substr(at, local));
        uint32_t next = size > local ? big_endian(page, at + local, 4) : 0;
        while (out.size() < size) {
            const auto found = latest_.find(next);
            if (next == 0 || found == latest_.end()) return {};
            const std::string_view overflow = wal_.substr(found->second, page_bytes);
            next = big_endian(overflow, 0, 4);
            out += overflow.substr(4, static_cast<size_t>(size) - out.size());
        }
        return out;
    }

  private:
    std::string_view wal_;
    std::map<uint32_t, size_t> latest_;
};

// A record of the table batch: (null, priority, kind, readings, first_wall, bytes).
std::optional<Rescued> batch_of(std::string_view record, uint64_t stream, int64_t id) {
    size_t at = 0;
    const auto header_bytes = varint(record, at);
    if (!header_bytes || *header_bytes > 64 || *header_bytes > record.size()) return {};
    uint64_t types[6] = {};
    for (uint64_t& type : types) {
        const auto t = varint(record, at);
        if (!t) return {};
        type = *t;
    }
    if (at != *header_bytes || types[0] != 0 || types[5] < 12 || types[5] % 2 != 0) return {};
    Rescued r;
    for (size_t column = 1; column <= 4; ++column) {
        const auto value = integer(record, at, types[column]);
        if (!value) return {};
        if (column == 4) r.first_wall = *value;
    }
    const uint64_t size = (types[5] - 12) / 2;
    if (size > batch_bytes_max || at + size != record.size()) return {};
    r.bytes = record.substr(at);
    auto view = open_batch(stream, r.bytes);
    if (!view || view->header.seq != seq_of(id)) return {};
    r.header = view->header;
    return r;
}

}  // namespace

std::string read_wal(const std::string& path) {
    auto bytes = read_file(path + "-wal", wal_bytes_max);
    return bytes ? std::move(*bytes) : std::string();
}

std::map<int64_t, Rescued> rescue_batches(std::string_view wal, uint64_t stream, int64_t first_id, int64_t end_id) {
    std::map<int64_t, Rescued> found;
    const Log log(wal);
    log.each_page([&](uint32_t, std::string_view page) {
        if (byte_at(page, 0) != table_leaf) return;
        const size_t cells = big_endian(page, 3, 2);
        for (size_t cell = 0; cell < cells && 8 + 2 * cell + 2 <= page.size(); ++cell) {
            size_t at = big_endian(page, 8 + 2 * cell, 2);
            const auto size = varint(page, at);
            const auto rowid = size ? varint(page, at) : std::nullopt;
            if (!rowid) continue;
            const auto id = static_cast<int64_t>(*rowid);
            if (id < first_id || id >= end_id || found.contains(id)) continue;
            if (auto rescued = batch_of(log.payload(page, at, *size), stream, id)) found[id] = std::move(*rescued);
        }
    });
    return found;
}

}  // namespace basmalin::agent
