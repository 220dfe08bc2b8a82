#include "agent/buffer/page_rescue.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "agent/buffer/buffer_file.h"

namespace basmalin::agent {
namespace {

constexpr size_t block_bytes = 4096;
constexpr uint8_t table_leaf = 0x0d;
constexpr uint8_t index_leaf = 0x0a;
constexpr size_t header_bytes = 8;
constexpr size_t table_local_max = page_bytes - 35;
constexpr size_t index_local_max = (page_bytes - 12) * 64 / 255 - 23;
constexpr size_t local_min = (page_bytes - 12) * 32 / 255 - 23;
constexpr size_t fields_max = 16;
constexpr size_t record_bytes_max = batch_bytes_max + 256;

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

// Big-endian two's complement, of the serial types 1 - 6, 8, 9.
std::optional<int64_t> integer(std::string_view b, size_t& at, uint64_t type) {
    static constexpr size_t sizes[] = {0, 1, 2, 3, 4, 6, 8};
    if (type == 8 || type == 9) return static_cast<int64_t>(type - 8);
    if (type > 6 || at + sizes[type] > b.size()) return {};
    uint64_t v = (byte_at(b, at) & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < sizes[type]; ++i) v = v << 8 | byte_at(b, at++);
    return static_cast<int64_t>(v);
}

// The payload of the cell at `at`, its overflow pages included; empty if it is not whole.
std::string payload_at(std::string_view page, size_t at, uint64_t size, size_t local_max, const PageOf& pages) {
    if (size > record_bytes_max) return {};
    const size_t spill = local_min + (static_cast<size_t>(size) - local_min) % (page_bytes - 4);
    const size_t local = size <= local_max ? static_cast<size_t>(size) : spill <= local_max ? spill : local_min;
    if (at + local > page.size()) return {};
    std::string out(page.substr(at, local));
    uint32_t next = size > local ? big_endian(page, at + local, 4) : 0;
    while (out.size() < size) {
        const std::string_view overflow = next == 0 ? std::string_view{} : pages(next);
        if (overflow.size() < page_bytes) return {};
        next = big_endian(overflow, 0, 4);
        out += overflow.substr(4, static_cast<size_t>(size) - out.size());
    }
    return out;
}

bool read_fields(std::string_view record, std::vector<RawField>& fields) {
    fields.clear();
    size_t at = 0;
    const auto head = varint(record, at);
    if (!head || *head > record.size() || *head > 9 * fields_max) return false;
    size_t value_at = static_cast<size_t>(*head);
    while (at < *head) {
        const auto type = varint(record, at);
        if (!type || at > *head || fields.size() == fields_max) return false;
        RawField f;
        if (*type >= 12) {
            const uint64_t size = (*type - 12) / 2;
            if (size > record.size() - value_at) return false;
            f.kind = *type % 2 == 0 ? RawField::Kind::Blob : RawField::Kind::Text;
            f.bytes = record.substr(value_at, static_cast<size_t>(size));
            value_at += static_cast<size_t>(size);
        } else if (*type != 0) {
            const auto value = integer(record, value_at, *type);
            if (!value) return false;
            f.kind = RawField::Kind::Integer;
            f.integer = *value;
        }
        fields.push_back(f);
    }
    return value_at == record.size();
}

}  // namespace

bool RawRow::is(std::string_view shape) const {
    static constexpr std::string_view letters = "nitb";
    if (shape.size() != fields.size()) return false;
    for (size_t i = 0; i < shape.size(); ++i)
        if (letters[static_cast<size_t>(fields[i].kind)] != shape[i]) return false;
    return true;
}

void each_row(std::string_view page, const PageOf& overflow, const std::function<void(const RawRow&)>& each) {
    const uint8_t type = byte_at(page, 0);
    if (page.size() != page_bytes || (type != table_leaf && type != index_leaf)) return;
    const size_t cells = std::min<size_t>(big_endian(page, 3, 2), (page_bytes - header_bytes) / 4);
    RawRow row;
    for (size_t cell = 0; cell < cells; ++cell) {
        size_t at = big_endian(page, header_bytes + 2 * cell, 2);
        const auto size = varint(page, at);
        const auto rowid = type == index_leaf ? std::optional<uint64_t>(0) : size ? varint(page, at) : std::nullopt;
        if (!size || !rowid) continue;
        const std::string record = payload_at(page, at, *size, type == table_leaf ? table_local_max : index_local_max, overflow);
        row.rowid = static_cast<int64_t>(*rowid);
        if (!record.empty() && read_fields(record, row.fields)) each(row);
    }
}

bool looks_like_a_batch(const RawRow& row) { return row.rowid > 0 && row.is("niiiib"); }

std::optional<Rescued> batch_of(const RawRow& row, uint64_t stream) {
    if (!looks_like_a_batch(row) || row.fields[5].bytes.size() > batch_bytes_max) return {};
    auto view = open_batch(stream, row.fields[5].bytes);
    if (!view || view->header.seq != seq_of(row.rowid)) return {};
    return Rescued{.header = view->header, .first_wall = row.fields[4].integer, .bytes = std::string(row.fields[5].bytes)};
}

void read_around(int fd, int64_t at, std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t n = ::pread(fd, bytes.data() + done, bytes.size() - done, at + static_cast<int64_t>(done));
        if (n == 0) return std::memset(bytes.data() + done, 0, bytes.size() - done), void();
        if (n > 0) {
            done += static_cast<size_t>(n);
            continue;
        }
        // Somewhere in here: by blocks, the bad ones left out.
        const size_t block = std::min(block_bytes, bytes.size() - done);
        const ssize_t one = ::pread(fd, bytes.data() + done, block, at + static_cast<int64_t>(done));
        if (one <= 0) std::memset(bytes.data() + done, 0, block);
        done += block;
    }
}

PageFile::PageFile(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    if (fd_ < 0) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat what{};
    if (fd_ < 0 || ::fstat(fd_, &what) != 0) return;
    pages_ = static_cast<uint32_t>(std::min<int64_t>(what.st_size / static_cast<int64_t>(page_bytes), UINT32_MAX - 1));
}

PageFile::~PageFile() {
    if (fd_ >= 0) ::close(fd_);
}

std::string_view PageFile::from(Read& read, uint32_t number) {
    if (number == 0 || number > pages_) return {};
    const int64_t page_at = int64_t{number - 1} * static_cast<int64_t>(page_bytes);
    const int64_t at = page_at / static_cast<int64_t>(read.size) * static_cast<int64_t>(read.size);
    if (read.at != at) {
        read.bytes.resize(read.size);
        read_around(fd_, at, read.bytes);
        read.at = at;
    }
    return std::string_view(read.bytes).substr(static_cast<size_t>(page_at - at), page_bytes);
}

void PageFile::punch_before(uint32_t number) {
    const int64_t end =
        int64_t{number - 1} * static_cast<int64_t>(page_bytes) / static_cast<int64_t>(block_bytes) * static_cast<int64_t>(block_bytes);
    // A file system that cannot keeps it: nothing depends on it.
    if (fd_ >= 0 && end > 0) static_cast<void>(::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end));
}

}  // namespace basmalin::agent
