// A small language for stories about the store: gateways that seal batches, a store in a temporary folder, and what must be in it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "coordinator/store/calendar.h"
#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

constexpr int64_t noon_ms = 1'790'078'400'000;  // 2026-09-22T12:00:00Z

// "g1/bed1/temperature@1790078400000=21.4", with a '~' when estimated.
inline std::string line(const std::string& series, int64_t time_ms, const Value& value, bool estimated) {
    std::string text = series + "@" + std::to_string(time_ms) + "=";
    if (const auto* number = std::get_if<double>(&value)) {
        char room[40];
        std::snprintf(room, sizeof room, "%.17g", *number);
        text += room;
    } else if (const auto* flag = std::get_if<bool>(&value)) {
        text += *flag ? "true" : "false";
    } else {
        text += std::get<std::string>(value);
    }
    return estimated ? text + "~" : text;
}
using Lines = std::multiset<std::string>;

// A gateway: one stream, layouts 1 (bed1: two numbers) and 2 (pump: a boolean and a text). wall = mono + offset.
struct Gateway {
    std::string node = "g1";
    uint64_t stream = 0x5eed0001;
    uint32_t boot_no = 1;
    bool synced = true;
    int64_t offset_ms = noon_ms - 3'600'000;
    int64_t mono_ms = 3'600'000;  // the next reading's
    uint64_t seq = 0;             // the last one used
    bool define = true;

    static Layout bed() { return {1, "bed1", {{"temperature", "Cel", ValueKind::Number, 1}, {"moisture", "%", ValueKind::Number, 0}}}; }
    static Layout pump() { return {2, "pump", {{"open", "", ValueKind::Boolean, 0}, {"state", "", ValueKind::Text, 0}}}; }
    static const Layout* find(uint32_t id) {
        static const Layout both[] = {bed(), pump()};
        return id == 1 ? &both[0] : id == 2 ? &both[1] : nullptr;
    }

    BatchHeader header(uint64_t number, uint32_t readings) const {
        BatchHeader h;
        h.seq = number;
        h.clock = synced ? ClockState::Synced : ClockState::Unsynced;
        h.boot_no = boot_no;
        h.sealed_mono = MonoTime{mono_ms};
        h.sealed_wall = WallTime{synced ? mono_ms + offset_ms : 1'000'000};
        h.first = h.sealed_mono;
        h.readings = readings;
        return h;
    }
    IncomingBatch wrap(std::string bytes, int64_t received_ms = 0) const {
        IncomingBatch batch;
        batch.node = node;
        batch.stream = stream;
        batch.bytes = std::move(bytes);
        batch.received = WallTime{received_ms != 0 ? received_ms : mono_ms + offset_ms + 50};
        return batch;
    }
    IncomingBatch seal(const std::vector<Rows>& groups, uint64_t number = 0, bool with_definitions = true) {
        Body body;
        if (define && with_definitions) body.definitions = {bed(), pump()};
        body.groups = groups;
        auto bytes = encode_body(body, [](uint32_t id) { return find(id); });
        EXPECT_TRUE(bytes) << (bytes ? "" : bytes.error().text);
        uint32_t readings = 0;
        for (const Rows& rows : groups) readings += static_cast<uint32_t>(rows.times_ms.size() * rows.columns.size());
        return wrap(seal_batch(stream, header(number != 0 ? number : ++seq, readings), *bytes));
    }
    // Rows of bed1, one a second from mono_ms on.
    Rows bed_rows(const std::vector<double>& temperatures) {
        Rows rows{1, {}, {Numbers{}, Numbers{}}};
        for (const double t : temperatures) {
            rows.times_ms.push_back(mono_ms);
            std::get<Numbers>(rows.columns[0]).push_back(t);
            std::get<Numbers>(rows.columns[1]).push_back(40);
            mono_ms += 1000;
        }
        return rows;
    }
    IncomingBatch beds(const std::vector<double>& temperatures) { return seal({bed_rows(temperatures)}); }
    // What must be read of these rows.
    Lines expected(const Rows& rows, int64_t offset, bool estimated = false) const {
        Lines lines;
        const Layout* layout = find(rows.layout);
        for (size_t c = 0; c < rows.columns.size(); ++c) {
            const std::string series = node + "/" + layout->device + "/" + layout->columns[c].quantity;
            for (size_t i = 0; i < rows.times_ms.size(); ++i) {
                Value value;
                if (c == 0 && rows.layout == 2)
                    value = std::get<Booleans>(rows.columns[c])[i] != 0;
                else if (rows.layout == 2)
                    value = std::get<Texts>(rows.columns[c])[i];
                else
                    value = std::get<Numbers>(rows.columns[c])[i];
                lines.insert(line(series, rows.times_ms[i] + offset, value, estimated));
            }
        }
        return lines;
    }
};

class StoreTest : public ::testing::Test {
  protected:
    void SetUp() override {
        options.folder = ::testing::TempDir() + "store-" + to_hex(random_u64());
        options.retire_after_leap = {};  // stories leap from month to month
        open();
    }
    void TearDown() override {
        store.reset();
        std::filesystem::remove_all(options.folder);
    }
    void open() {
        store.reset();
        auto opened = SqliteStore::open(options);
        ASSERT_TRUE(opened) << opened.error().message();
        store = std::move(*opened);
    }
    CommitResult commit(const std::vector<IncomingBatch>& batches) {
        auto done = store->commit(batches);
        EXPECT_TRUE(done) << (done ? "" : done.error().message());
        return done ? std::move(*done) : CommitResult{};
    }
    Outcome outcome(const IncomingBatch& batch) { return commit({batch}).outcomes.at(0); }
    // Everything that is due at `now`; the number of steps is bounded.
    void maintain(int64_t now_ms) {
        for (int step = 0; step < 10'000; ++step) {
            auto more = store->maintain(WallTime{now_ms});
            ASSERT_TRUE(more) << more.error().message();
            if (!*more) return;
        }
        FAIL() << "maintain() never ends";
    }
    std::map<SeriesId, std::string> names() {
        std::map<SeriesId, std::string> all;
        auto series = store->series();
        EXPECT_TRUE(series);
        for (const SeriesInfo& info : *series) all[info.id] = info.node + "/" + info.device + "/" + info.quantity;
        return all;
    }
    SeriesId id_of(const std::string& name) {
        for (const auto& [id, known] : names())
            if (known == name) return id;
        ADD_FAILURE() << "no series " << name;
        return 0;
    }
    // All readings in [from, to), page by page; checks the order.
    Lines readings(int64_t from_ms = 0, int64_t to_ms = noon_ms * 2, size_t limit = 1000) {
        Lines lines;
        auto reader = store->reader();
        EXPECT_TRUE(reader);
        const auto known = names();
        ReadingQuery query;
        for (const auto& [id, name] : known) query.series.push_back(id);
        query.from = WallTime{from_ms};
        query.to = WallTime{to_ms};
        std::string cursor;
        std::pair<int64_t, SeriesId> last{INT64_MIN, 0};
        do {
            auto page = (*reader)->readings(query, limit, cursor);
            EXPECT_TRUE(page) << (page ? "" : page.error().message());
            if (!page) return lines;
            EXPECT_LE(page->points.size(), limit);
            for (const ReadingPoint& point : page->points) {
                const std::pair<int64_t, SeriesId> place{point.time.ms, point.series};
                EXPECT_LE(last, place);
                last = place;
                lines.insert(line(known.at(point.series), point.time.ms, point.value, point.estimated));
            }
            cursor = page->next;
        } while (!cursor.empty());
        return lines;
    }
    StoreStats stats() {
        auto found = store->stats();
        EXPECT_TRUE(found);
        return *found;
    }

    StoreOptions options;
    std::unique_ptr<SqliteStore> store;
    Gateway g1;
};

inline Lines operator+(Lines a, const Lines& b) {
    a.insert(b.begin(), b.end());
    return a;
}

}  // namespace basmalin::coordinator
