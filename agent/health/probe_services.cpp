#include <unistd.h>

#include <algorithm>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"

namespace basmalin::agent {
namespace {

constexpr size_t units_max = 32;
constexpr size_t printed_bytes_max = 64 * 1024;
constexpr Duration asked_limit = seconds(2);

bool is_state(std::string_view text) {
    return !text.empty() && text.size() <= 32 && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string_view::npos;
}

struct Block {
    std::string id;
    NodeHealth::Service service;
};

std::vector<Block> blocks_of(std::string_view printed) {
    std::vector<Block> out;
    bool open = false;
    bool found = true;
    const auto close = [&] {
        if (open && !found) out.back().service.state = "not-found";
        open = false;
        found = true;
    };
    each_line(printed, [&](std::string_view line) {
        const size_t equals = line.find('=');
        if (line.empty()) return close();
        if (equals == std::string_view::npos) return;
        if (!open) {
            if (out.size() > units_max) return;
            out.push_back({"", {"", "unknown", 0}});
            open = true;
        }
        const auto key = line.substr(0, equals);
        const auto value = line.substr(equals + 1);
        Block& block = out.back();
        if (key == "Id") block.id = value;
        if (key == "LoadState") found = value != "not-found";
        if (key == "ActiveState" && is_state(value)) block.service.state = value;
        if (key == "NRestarts") block.service.restarts = static_cast<int64_t>(whole_number(value).value_or(0));
    });
    close();
    return out;
}

}  // namespace

bool is_unit_name(std::string_view text) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-";
    return !text.empty() && text.size() <= 128 && text.front() != '-' && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::vector<NodeHealth::Service> parse_services(std::string_view printed, const std::vector<std::string>& units) {
    const auto blocks = blocks_of(printed);
    std::vector<NodeHealth::Service> out;
    for (size_t i = 0; i < units.size(); ++i) {
        // systemctl answers in the order asked, and Id may be another name of the same unit; by name only if some are missing.
        const Block* block = nullptr;
        if (blocks.size() == units.size()) block = &blocks[i];
        for (const auto& b : blocks)
            if (!block && (b.id == units[i] || b.id == units[i] + ".service")) block = &b;
        out.push_back(block ? block->service : NodeHealth::Service{"", "unknown", 0});
        out.back().unit = units[i];
    }
    return out;
}

ServiceProbe::ServiceProbe(std::vector<std::string> units) : units_(std::move(units)) {
    if (units_.size() > units_max) units_.resize(units_max);
}

void ServiceProbe::read(const std::string& root, NodeHealth& out) {
    std::vector<std::string> asked;
    std::ranges::copy_if(units_, std::back_inserter(asked), is_unit_name);
    std::vector<NodeHealth::Service> answered;
    std::string program;
    for (const char* place : {"/usr/bin/systemctl", "/bin/systemctl"})
        if (program.empty() && ::access((root + place).c_str(), X_OK) == 0) program = root + place;
    if (!asked.empty()) {
        std::vector<std::string> arguments = {program, "show", "--no-pager", "--property=Id,LoadState,ActiveState,NRestarts", "--"};
        arguments.insert(arguments.end(), asked.begin(), asked.end());
        std::string printed;
        if (!program.empty()) printed = command_.run(arguments, asked_limit, printed_bytes_max).value_or("");
        answered = parse_services(printed, asked);
    }
    size_t next = 0;
    for (const auto& unit : units_) {
        if (is_unit_name(unit))
            out.services.push_back(answered[next++]);
        else
            out.services.push_back({is_shown_text(unit) ? unit : "?", "invalid", 0});
    }
}

}  // namespace basmalin::agent
