// The small language of these tests: what was published, and what was understood, as one line of text per reading or note.
//   reading  "bed1/temperature=21.5 Cel"   true and false are booleans, 'open' in quotes is a text
//   note     "bed1: seen", "bed1: available", "bed1: away", "bed1: battery 87", "bed1: model WSD500A" …
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "agent/sources/sources.h"
#include "shared/base/json.h"

namespace basmalin::agent {

struct Published {
    std::string topic;
    std::string payload;
    bool retained = false;
};

inline std::string to_text(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) {
        std::string out;
        append_json_number(out, *number);
        return out;
    }
    if (const auto* state = std::get_if<bool>(&value)) return *state ? "true" : "false";
    return "'" + std::get<std::string>(value) + "'";
}

inline std::vector<std::string> readings_of(const SourceOutput& out) {
    std::vector<std::string> lines;
    for (const Sample& sample : out.samples)
        for (const Measurement& m : sample.measurements)
            lines.push_back(sample.device + "/" + m.quantity + "=" + to_text(m.value) + (m.unit.empty() ? "" : " " + m.unit));
    return lines;
}

inline std::vector<std::string> notes_of(const SourceOutput& out) {
    std::vector<std::string> lines;
    const auto number = [](double v) {
        std::string text;
        append_json_number(text, v);
        return text;
    };
    for (const DeviceNote& note : out.notes) {
        const auto say = [&](const std::string& what) { lines.push_back(note.device + ": " + what); };
        if (note.seen) say("seen");
        if (note.available) say(*note.available ? "available" : "away");
        if (note.sleeping) say(*note.sleeping ? "sleeping" : "awake");
        if (note.battery_percent) say("battery " + number(*note.battery_percent));
        if (note.battery_volts) say("battery " + number(*note.battery_volts) + " V");
        if (note.link_quality_percent) say("link " + number(*note.link_quality_percent));
        if (note.rssi_dbm) say("rssi " + number(*note.rssi_dbm));
        if (!note.firmware_version.empty()) say("firmware " + note.firmware_version);
        if (!note.model.empty()) say("model " + note.model);
        if (!note.name.empty()) say("name " + note.name);
    }
    return lines;
}

// A gateway's sources, fed by hand at moments of its own.
class Garden {
  public:
    explicit Garden(SourcesOptions options = {}) : sources(std::move(options)) {}

    // What the last message added; `all` keeps everything.
    SourceOutput hear(std::string_view topic, std::string_view payload, bool retained = false) {
        SourceOutput out;
        now = now + seconds(10);
        sources.on_message(topic, payload, retained, now, out);
        for (const std::string& event : out.events) events.push_back(event);
        for (const std::string& filter : out.subscribe) subscribed.push_back(filter);
        return out;
    }
    SourceOutput hear(const Published& message) { return hear(message.topic, message.payload, message.retained); }
    std::vector<std::string> read(std::string_view topic, std::string_view payload) { return readings_of(hear(topic, payload)); }

    Sources sources;
    MonoTime now{100'000'000};
    std::vector<std::string> events;
    std::vector<std::string> subscribed;
};

// A story: messages in order; what the last one meant.
struct Story {
    std::string promise;
    std::vector<Published> messages;
    std::vector<std::string> readings;    // exactly these, in this order
    std::vector<std::string> notes = {};  // at least these
    SourcesOptions options = {};
};

inline void tell(const Story& story) {
    SCOPED_TRACE(story.promise);
    Garden garden(story.options);
    SourceOutput last;
    for (const Published& message : story.messages) last = garden.hear(message);
    EXPECT_EQ(readings_of(last), story.readings);
    const auto notes = notes_of(last);
    for (const std::string& wanted : story.notes)
        EXPECT_NE(std::find(notes.begin(), notes.end(), wanted), notes.end())
            << "missing note: " << wanted << "\n notes: " << ::testing::PrintToString(notes);
}

}  // namespace basmalin::agent
