// What a reading costs at rest: on a generated garden, and on a data set of one's own when BASMALIN_READINGS_CSV names a CSV file
// whose header is time_ms,node,<quantity>…
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/coordinator/store/store_fixture.h"

namespace basmalin::coordinator {
namespace {

class StoreSize : public StoreTest {
  protected:
    // Six quantities of 20 devices, one row about every 31 s, for two days: slow walks seen through coarse sensors.
    void seal_garden(std::vector<IncomingBatch>& batches) {
        std::mt19937_64 random(42);
        const std::vector<Column> columns = {{"case_temperature", "Cel", ValueKind::Number, 2},
                                             {"battery_voltage", "V", ValueKind::Number, 2},
                                             {"humidity", "%", ValueKind::Number, 2},
                                             {"temperature", "Cel", ValueKind::Number, 2},
                                             {"par", "1", ValueKind::Number, 0},
                                             {"tsr", "1", ValueKind::Number, 0}};
        const double steps[] = {0.98, 0.01, 0.03, 0.02, 1, 1};
        for (uint32_t device = 1; device <= 20; ++device) {
            Gateway gateway;
            gateway.stream = device;
            gateway.node = "g" + std::to_string(device);
            gateway.offset_ms = noon_ms;
            gateway.mono_ms = 1000;
            const Layout layout{1, "mote" + std::to_string(device), columns};
            double walk[6] = {20, 2.7, 48, 21, 3, 5};
            for (int sealed = 0; sealed < 80; ++sealed) {
                Rows rows{1, {}, std::vector<ColumnValues>(6, Numbers{})};
                for (int row = 0; row < 64; ++row) {
                    gateway.mono_ms += 30'500 + static_cast<int64_t>(random() % 1000);
                    rows.times_ms.push_back(gateway.mono_ms);
                    for (size_t c = 0; c < 6; ++c) {
                        if (random() % 4 == 0) walk[c] += (static_cast<double>(random() % 3) - 1) * steps[c];
                        std::get<Numbers>(rows.columns[c]).push_back(std::round(walk[c] * 100) / 100);
                    }
                }
                const auto bytes = encode_body({{layout}, {rows}}, nullptr);
                ASSERT_TRUE(bytes);
                readings_ += 64 * 6;
                batches.push_back(gateway.wrap(seal_batch(gateway.stream, gateway.header(++gateway.seq, 64 * 6), *bytes)));
            }
        }
    }
    void seal_file(const std::string& path, std::vector<IncomingBatch>& batches) {
        std::ifstream in(path);
        std::string text;
        ASSERT_TRUE(std::getline(in, text)) << path;
        std::vector<Column> columns;
        std::istringstream names(text.substr(text.find(',', text.find(',') + 1) + 1));
        while (std::getline(names, text, ',')) columns.push_back({text, "", ValueKind::Number, 2});
        std::map<int64_t, Rows> waiting;
        std::map<int64_t, uint64_t> seqs;
        int64_t start = 0;
        const auto seal = [&](int64_t node, Rows& rows) {
            Gateway gateway;
            gateway.stream = static_cast<uint64_t>(node) + 1;
            gateway.node = "n" + std::to_string(node);
            gateway.offset_ms = start;
            gateway.mono_ms = rows.times_ms.back();
            const auto bytes = encode_body({{{1, "mote", columns}}, {rows}}, nullptr);
            ASSERT_TRUE(bytes);
            const auto count = static_cast<uint32_t>(rows.times_ms.size() * columns.size());
            readings_ += count;
            batches.push_back(gateway.wrap(seal_batch(gateway.stream, gateway.header(++seqs[node], count), *bytes)));
        };
        while (std::getline(in, text)) {
            std::istringstream fields(text);
            std::string field;
            std::getline(fields, field, ',');
            const int64_t time = std::stoll(field);
            if (start == 0) start = time - 1;
            std::getline(fields, field, ',');
            const int64_t node = std::stoll(field);
            Rows& rows = waiting.try_emplace(node, Rows{1, {}, std::vector<ColumnValues>(columns.size(), Numbers{})}).first->second;
            rows.times_ms.push_back(time - start);
            for (ColumnValues& column : rows.columns) {
                std::getline(fields, field, ',');
                std::get<Numbers>(column).push_back(std::stod(field));
            }
            if (rows.times_ms.size() < 60) continue;
            seal(node, rows);
            waiting.erase(node);
        }
        for (auto& [node, rows] : waiting) seal(node, rows);
        after_ms_ = start;
    }
    void measure(const std::vector<IncomingBatch>& batches) {
        for (size_t at = 0; at < batches.size(); at += 64)
            commit({batches.begin() + static_cast<ptrdiff_t>(at),
                    batches.begin() + static_cast<ptrdiff_t>(std::min(at + 64, batches.size()))});
        const int64_t hot = stats().hot_bytes;
        maintain(after_ms_ + hours(24 * 8).ms);
        EXPECT_EQ(stats().hot_batches, 0);
        int64_t chunks = 0, rollups = 0, file = 0;
        for (const int32_t month : history_months(options.folder)) {
            auto history = HistoryFile::open(options.folder, month);
            ASSERT_TRUE(history);
            chunks += *(*history)->db.integer("SELECT sum(length(bytes)) FROM chunk");
            rollups += *(*history)->db.integer("SELECT sum(length(bytes)) FROM rollup");
            file += (*history)->db.pages()->live * *(*history)->db.integer("PRAGMA page_size");
        }
        const auto each = [&](int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(readings_); };
        std::cout << "bytes a reading: hot " << each(hot) << ", chunks " << each(chunks) << ", rollups " << each(rollups)
                  << ", files without free pages " << each(file) << " (" << readings_ << " readings)\n";
        RecordProperty("chunk_bytes_per_reading", std::to_string(each(chunks)));
        EXPECT_LE(each(chunks), 1.0);
    }
    int64_t readings_ = 0;
    int64_t after_ms_ = noon_ms;
};

TEST_F(StoreSize, AReadingAtRestIsBelowAByte) {
    std::vector<IncomingBatch> batches;
    seal_garden(batches);
    measure(batches);
}

TEST_F(StoreSize, AReadingOfAGivenDataSetIsBelowAByte) {
    const char* path = std::getenv("BASMALIN_READINGS_CSV");
    if (path == nullptr) GTEST_SKIP() << "BASMALIN_READINGS_CSV is not set";
    std::vector<IncomingBatch> batches;
    seal_file(path, batches);
    measure(batches);
}

}  // namespace
}  // namespace basmalin::coordinator
