// Which readings go into one batch, and when it is sealed. Pure: no I/O, time is a parameter.
// R1  What one device reports together at one time is one row of a layout. A set of (quantity, unit, kind) not seen before of a
//     device is a new layout with a new id; ids only grow, also over restarts (restore()).
// R2  A list of drafts per priority. A draft is due when it holds readings_max readings, when its oldest reading is seal_after
//     old (low_seal_after for Priority::Low), at once for alarms, and before its encoded size could pass body_bytes_max.
// R3  Numbers, booleans and texts are readings alike. A text longer than text_bytes_max or a name that is no label is refused
//     and counted, the rest of its sample goes on.
// R4  A layout gets a successor with more decimals only when wider_rows_min rows in a row needed more; single wider values are
//     the codec's to carry.
// R5  A device with layouts_per_device_max layouts gets one-column layouts from then on; layouts_max bounds the whole, beyond
//     it readings are refused and counted.
// R6  At most pending_readings_max readings wait. Beyond, drafts of what is less important are dropped, Low before Normal, the newest
//     first, where that makes room enough; a draft that comes back also goes before younger ones of its priority. What finds no room is
//     dropped. All of it is counted as dropped_unsealed.
// Thread: one (the loop's).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/series/codec.h"
#include "shared/series/reading.h"
#include "shared/wire/batch.h"

namespace basmalin::agent {

struct BatcherLimits {
    size_t readings_max = 256;
    Duration seal_after = seconds(20);
    Duration low_seal_after = seconds(60);
    size_t body_bytes_max = batch_bytes_max / 2;
    size_t text_bytes_max = 4096;
    size_t pending_readings_max = 20'000;
    size_t layouts_per_device_max = 32;
    size_t layouts_max = 16'384;
    size_t columns_max = 64;
    uint32_t wider_rows_min = 64;
};

// The material of one batch: what the buffer gives a sequence number.
struct Draft {
    BatchKind kind = BatchKind::Readings;
    Priority priority = Priority::Normal;
    std::vector<Rows> groups = {};                        // kind Readings
    std::vector<std::shared_ptr<const Layout>> layouts = {};  // those the groups refer to, each once
    std::string body = {};                                // other kinds: the body as it is
    uint32_t readings = 0;
    MonoTime first = {};  // of the earliest reading
};

struct BatcherCounts {
    uint64_t readings = 0;
    uint64_t dropped_unsealed = 0;  // R6, and what a seal that failed gave up
    uint64_t refused = 0;           // R3, R5
    size_t layouts = 0;
    bool layouts_full = false;      // R5: readings of a new kind are refused from here on
};

class Batcher {
  public:
    explicit Batcher(BatcherLimits limits);
    // Layouts of earlier runs: their ids are taken, and used again for the same sets. `last_id`: no id up to this one is free, whatever
    // became of its layout.
    void restore(const std::vector<Layout>& known, uint32_t last_id);

    void add(const Sample& sample, Priority priority, MonoTime now);
    // Drafts that are due, alarms first; all of them when `everything`.
    std::vector<Draft> take(MonoTime now, bool everything = false);
    // When take() will next have something, if nothing more comes.
    std::optional<MonoTime> due() const;
    // A draft that could not be sealed comes back; it is due again at `retry_at`. R6 applies.
    void put_back(Draft draft, MonoTime retry_at);

    size_t pending_readings() const { return pending_readings_; }
    const BatcherCounts& counts() const { return counts_; }
    void set_limits(BatcherLimits limits) { limits_ = limits; }

  private:
    struct Known {
        std::shared_ptr<const Layout> layout;
        uint32_t wider_rows = 0;             // R4
        std::vector<uint8_t> wider_decimals;
    };
    struct Open {
        Draft draft;
        std::map<uint32_t, size_t> group_of;  // layout id -> place in groups
        size_t bytes_estimate = 0;
        MonoTime since;
    };
    struct Waiting {
        Draft draft;
        MonoTime not_before;
    };

    void add_row(const Sample& sample, size_t begin, size_t end, Priority priority, MonoTime now);
    Known* layout_for(const std::string& device, const std::vector<const Measurement*>& row);
    Known* new_layout(const std::string& key, const std::string& device, std::vector<Column> columns);
    void note_decimals(Known& known, const std::string& key, const std::vector<const Measurement*>& row);
    void append(Open& open, const Known& known, const std::vector<const Measurement*>& row, MonoTime time);
    void close(Open& open);
    // R6. False: there is no room, and nothing was dropped.
    bool make_room(size_t readings, Priority priority, MonoTime first);
    bool acceptable(const Measurement& measurement) const;

    BatcherLimits limits_;
    BatcherCounts counts_;
    std::map<std::string, Known> known_;               // key of (device, columns without decimals)
    std::map<std::string, size_t> layouts_of_device_;
    uint32_t last_id_ = 0;
    std::array<Open, 3> open_;                         // by Priority
    std::deque<Waiting> waiting_;                      // closed, in order
    size_t pending_readings_ = 0;
};

}  // namespace basmalin::agent
