// Readings, or their minimum, mean and maximum by steps, as a body that is read from the store piece by piece.
// R1  JSON is {"items":[…],"next":"…"|null}; `next` tells that the limit was reached, and where to go on.
// R2  CSV is a line of column names and a line for each reading (RFC 4180, but lines end in LF); what is no number stays empty.
// R3  In order of time, then of series.
// R4  The store is asked for pages that grow, up to about 1 MiB of rows; they are handed out in pieces of at most 64 KiB.
// Thread: the server's stream worker, once made.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "coordinator/http/parts.h"
#include "coordinator/store/store.h"
#include "shared/http/server.h"

namespace basmalin::coordinator {

constexpr size_t series_per_query_max = 64;
constexpr int64_t buckets_per_query_max = 2'000'000;

struct ReadingPlan {
    ReadingQuery query;            // with a step: from and to are whole steps
    std::optional<Duration> step;
    bool csv = false;
    int64_t limit = 0;
    std::string cursor;  // `next` of the answer before; empty: from the start
    std::map<SeriesId, SeriesInfo> series;
};

BodyStream stream_readings(ReadingPlan plan, std::shared_ptr<ReaderSlot> reader);

// "<start ms>.<series>" of the last bucket of an answer.
struct BucketCursor {
    int64_t start_ms = -1;
    SeriesId series = 0;
};
Result<BucketCursor> parse_bucket_cursor(const std::string& text);

}  // namespace basmalin::coordinator
