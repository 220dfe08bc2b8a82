// Rows of SQLite pages, read without SQLite: where the tree that leads to a leaf is damaged, the leaf still holds its rows. What is
// found may be stale, torn or garbage: whoever takes a row proves it (a batch has its own checksum).
// Format: sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 1.7 (overflow pages), 2.1 (records).
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/wire/batch.h"

namespace basmalin::agent {

constexpr size_t page_bytes = 1024;

struct RawField {
    enum class Kind : uint8_t { Null, Integer, Text, Blob };
    Kind kind = Kind::Null;
    int64_t integer = 0;
    std::string_view bytes = {};
};
struct RawRow {
    int64_t rowid = 0;  // 0 in a table without
    std::vector<RawField> fields;
    // Null, then integers, then a blob: "nib" is a row of a table (id INTEGER PRIMARY KEY, x INTEGER, y BLOB).
    bool is(std::string_view shape) const;
};

// A page by its number from 1, valid until the next call; empty if there is none.
using PageOf = std::function<std::string_view(uint32_t)>;
// The rows of a leaf, none of any other page. Never fails, whatever the bytes.
void each_row(std::string_view page, const PageOf& overflow, const std::function<void(const RawRow&)>& each);

struct Rescued {
    BatchHeader header;
    int64_t first_wall = 0;
    std::string bytes;
};
// A row of the table batch, if its checksum says that it is of this stream and stands under its own number.
std::optional<Rescued> batch_of(const RawRow& row, uint64_t stream);
bool looks_like_a_batch(const RawRow& row);

// The pages of a database's main file, also where the disk cannot read all of it: such blocks are zero.
class PageFile {
  public:
    PageFile() = default;
    explicit PageFile(const std::string& path);  // no pages if it cannot be opened
    PageFile(const PageFile&) = delete;
    PageFile& operator=(const PageFile&) = delete;
    ~PageFile();

    uint32_t pages() const { return pages_; }
    std::string_view page(uint32_t number) { return from(ahead_, number); }      // for reading on and on
    std::string_view overflow(uint32_t number) { return from(aside_, number); }  // for one from elsewhere
    // Gives the disk back what lies before this page.
    void punch_before(uint32_t number);

  private:
    struct Read {
        size_t size = 0;
        int64_t at = -1;
        std::string bytes = {};
    };
    std::string_view from(Read& read, uint32_t number);

    int fd_ = -1;
    uint32_t pages_ = 0;
    Read ahead_{.size = 64 << 10};
    Read aside_{.size = 4 << 10};
};

// Reads into `bytes`, block by block where the disk cannot read all of it: such blocks are zero.
void read_around(int fd, int64_t at, std::string& bytes);

}  // namespace basmalin::agent
