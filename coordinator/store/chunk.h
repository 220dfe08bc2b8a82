// A chunk: the readings of one device and one UTC day (or a part of it). Quantities that were reported together share one column
// of times; each column is compressed alone, so a chart decodes only what it draws. The byte format is in README.md. Pure.
// R1  Lossless: times to the millisecond, numbers bit for bit, texts byte for byte.
// R2  Any bytes give a view or Corrupt; a view gives a column or Corrupt, and never more than rows_max rows.
// R3  A table's rows are in the order of their times.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/store/store.h"
#include "shared/series/codec.h"

namespace basmalin::coordinator {

constexpr size_t chunk_rows_max = size_t{1} << 24;         // of one table
constexpr size_t chunk_text_bytes_max = size_t{64} << 20;  // of one column's distinct texts

struct ChunkColumn {
    SeriesId series = 0;
    ColumnValues values;
};
struct ChunkTable {
    bool estimated = false;
    std::vector<int64_t> times_ms;  // wall
    std::vector<ChunkColumn> columns;
};

// Level as encode_integers(). Columns are as long as their table's times.
std::string encode_chunk(const std::vector<ChunkTable>& tables, int level);

// Looks into bytes that must outlive it; nothing is decompressed until asked for.
class ChunkView {
  public:
    struct Column {
        SeriesId series = 0;
        ValueKind kind = ValueKind::Number;
        std::string_view section;
    };
    struct Table {
        bool estimated = false;
        size_t rows = 0;
        int64_t first_ms = 0;
        int64_t last_ms = 0;
        std::string_view times;
        std::vector<Column> columns;
    };
    static Result<ChunkView> open(std::string_view bytes);
    const std::vector<Table>& tables() const { return tables_; }

  private:
    std::vector<Table> tables_;
};
Result<std::vector<int64_t>> chunk_times(const ChunkView::Table& table);
Result<ColumnValues> chunk_values(const ChunkView::Table& table, const ChunkView::Column& column);
Result<std::vector<ChunkTable>> decode_chunk(std::string_view bytes);

}  // namespace basmalin::coordinator
