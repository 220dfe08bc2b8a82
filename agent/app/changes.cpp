#include "agent/app/changes.h"

#include <map>
#include <set>

namespace basmalin::agent {
namespace {

// Lines of a dump by "section.key"; rows of a table of rules gather under their table's name.
std::map<std::string, std::string> settings_of(std::string_view dump) {
    std::map<std::string, std::string> found;
    std::string section;
    while (!dump.empty()) {
        const size_t end = dump.find('\n');
        const std::string line(dump.substr(0, end));
        dump.remove_prefix(end == std::string_view::npos ? dump.size() : end + 1);
        if (line.empty() || line.front() == '#') continue;
        if (line.front() == '[') {
            section = line.substr(line.find_first_not_of('['));
            section.resize(std::min(section.size(), section.find(']')));
            found[section + ".*"] += line;
            continue;
        }
        const size_t equals = line.find(" =");
        const std::string key = (section.empty() ? "" : section + ".") + line.substr(0, equals);
        found[key] += line;
    }
    return found;
}

}  // namespace

bool Changes::in(std::string_view section) const {
    const std::string prefix = std::string(section) + ".";
    for (const std::string& key : keys)
        if (key.starts_with(prefix)) return true;
    return false;
}

std::vector<std::string> Changes::needing_restart() const {
    static const std::set<std::string_view> at_once = {"central.backlog_start_most", "central.backlog_bytes_per_second", "central.unacked_batches_max"};
    std::vector<std::string> restart;
    for (const std::string& key : keys) {
        const std::string_view section = std::string_view(key).substr(0, key.find('.'));
        const bool now = section == "sources" || section == "health" || section == "device_health" || section == "buffer" || section == "log";
        if (!now && !at_once.contains(key)) restart.push_back(key);
    }
    return restart;
}

Changes changes_between(std::string_view before, std::string_view after) {
    Changes changes;
    const auto old_settings = settings_of(before);
    const auto new_settings = settings_of(after);
    for (const auto& [key, line] : new_settings) {
        const auto old = old_settings.find(key);
        if (old == old_settings.end() || old->second != line) changes.keys.push_back(key);
    }
    for (const auto& [key, line] : old_settings)
        if (!new_settings.contains(key)) changes.keys.push_back(key);
    return changes;
}

}  // namespace basmalin::agent
