// A small language for stories about the buffer: seal(), ack(), welcome(), power_cut(), damage(), and what is held afterwards.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/buffer/batcher.h"
#include "agent/buffer/buffer.h"
#include "agent/buffer/buffer_file.h"

namespace basmalin::agent {

class BufferStory : public ::testing::Test {
  protected:
    BufferStory() {
        char name[] = "/tmp/basmalin-buffer-XXXXXX";
        folder = ::mkdtemp(name);
        path = folder + "/buffer.db";
        options.disk_reserve_bytes = 0;
        options.salvage_at_start = minutes(1);
        clock_state = ClockState::Synced;
    }
    ~BufferStory() override {
        buffer.reset();
        std::filesystem::remove_all(folder);
    }

    void open() {
        buffer.reset();
        auto opened = Buffer::open(path, options, boot, clock.wall());
        ASSERT_TRUE(opened) << opened.error().message();
        buffer = std::move(*opened);
    }
    void close() {
        ASSERT_TRUE(buffer->close());
        buffer.reset();
    }
    Moment now() const { return {clock.mono(), clock.wall(), clock_state}; }

    // One batch of `rows` rows of the device.
    static Draft draft(size_t rows = 20, Priority priority = Priority::Normal, uint32_t layout = 1, double start = 20) {
        Draft d{.priority = priority};
        Rows group{.layout = layout, .times_ms = {}, .columns = {Numbers{}}};
        for (size_t i = 0; i < rows; ++i) {
            group.times_ms.push_back(static_cast<int64_t>(1000 + 500 * i));
            std::get<Numbers>(group.columns[0]).push_back(start + static_cast<double>(i) / 10);
        }
        d.groups.push_back(group);
        d.layouts.push_back(std::make_shared<const Layout>(Layout{layout, "bed" + std::to_string(layout), {{"temperature", "Cel", ValueKind::Number, 1}}}));
        d.readings = static_cast<uint32_t>(rows);
        d.first = MonoTime{1000};
        return d;
    }
    Held seal(size_t rows = 20, Priority priority = Priority::Normal, uint32_t layout = 1) {
        clock.advance(seconds(10));
        Draft d = draft(rows, priority, layout);
        d.first = clock.mono() - seconds(10);
        for (int64_t& t : d.groups[0].times_ms) t += d.first.ms;
        auto sealed = buffer->seal({d}, now());
        EXPECT_TRUE(sealed) << sealed.error().message();
        return sealed && !sealed->empty() ? sealed->front() : Held{};
    }
    void seal_many(int batches) {
        for (int i = 0; i < batches; ++i) seal();
    }
    uint64_t stream() const { return buffer->stats().stream; }
    WelcomeOutcome welcome(uint64_t epoch, std::vector<Welcome::Stream> streams = {}) {
        Welcome w{.epoch = epoch, .time = clock.wall(), .streams = std::move(streams)};
        auto outcome = buffer->on_welcome(w, now());
        EXPECT_TRUE(outcome) << outcome.error().message();
        return outcome ? *outcome : WelcomeOutcome{};
    }
    bool ack(uint64_t mark, uint64_t epoch = 7, std::vector<SeqRange> ranges = {}) {
        return buffer->on_ack({.epoch = epoch, .stream = stream(), .mark = mark, .ranges = std::move(ranges)});
    }
    void tend_until_done() {
        for (int i = 0; i < 500; ++i) {
            auto more = buffer->tend(now());
            ASSERT_TRUE(more) << more.error().message();
            if (!*more) return;
        }
        FAIL() << "tend() never comes to an end";
    }
    SalvageStep salvage_until_done() {
        for (int i = 0; i < 100'000; ++i) {
            auto step = buffer->salvage(now());
            EXPECT_TRUE(step) << step.error().message();
            if (!step || !step->more) return step ? *step : SalvageStep{};
        }
        ADD_FAILURE() << "salvage() never comes to an end";
        return {};
    }
    std::vector<Held> waiting() {
        auto page = buffer->fetch(0, INT64_MAX, size_t{1} << 30, 1'000'000);
        EXPECT_TRUE(page) << page.error().message();
        return page ? page->batches : std::vector<Held>{};
    }
    std::vector<uint64_t> waiting_seqs(uint64_t of_stream) {
        std::vector<uint64_t> seqs;
        for (const Held& h : waiting())
            if (h.stream == of_stream) seqs.push_back(h.header.seq);
        return seqs;
    }
    std::vector<Gap> gaps() {
        std::vector<Gap> all;
        for (;;) {
            auto held = buffer->seal_gaps(now());
            EXPECT_TRUE(held);
            if (!held || !*held) return all;
            auto view = open_batch((*held)->stream, *(*held)->bytes);
            EXPECT_TRUE(view);
            auto decoded = decode_gaps(view->body);
            EXPECT_TRUE(decoded);
            all.insert(all.end(), decoded->begin(), decoded->end());
        }
    }
    // What the disk would hold after a power cut now.
    void power_cut() {
        const std::string copy = folder + "/copy";
        for (const char* tail : {"", "-wal"})
            if (std::filesystem::exists(path + tail))
                std::filesystem::copy_file(path + tail, copy + tail, std::filesystem::copy_options::overwrite_existing);
        buffer.reset();
        for (const char* tail : {"", "-wal", "-shm"}) std::filesystem::remove(path + tail);
        for (const char* tail : {"", "-wal"})
            if (std::filesystem::exists(copy + tail)) std::filesystem::rename(copy + tail, path + tail);
    }
    void flip(const std::string& file, int64_t at) {
        std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
        f.seekg(at);
        const int c = f.get();
        f.seekp(at);
        f.put(static_cast<char>(c ^ 0x5a));
    }
    void overwrite(const std::string& file, int64_t at, size_t bytes) {
        std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
        f.seekp(at);
        for (size_t i = 0; i < bytes; ++i) f.put(static_cast<char>(0xee));
    }
    static int64_t size_of(const std::string& file) {
        std::error_code none;
        const auto size = std::filesystem::file_size(file, none);
        return none ? 0 : static_cast<int64_t>(size);
    }

    std::string folder;
    std::string path;
    BufferOptions options;
    ManualClock clock;
    ClockState clock_state = ClockState::Synced;
    uint64_t boot = 0xb007;
    std::unique_ptr<Buffer> buffer;
};

}  // namespace basmalin::agent
