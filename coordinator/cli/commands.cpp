#include "coordinator/cli/commands.h"

#include <algorithm>

#include "coordinator/cli/table.h"

namespace basmalin::coordinator {
namespace {

Shade shade_of(const std::string& state) {
    if (state == "online" || state == "ok" || state == "healthy") return Shade::Good;
    if (state == "late" || state == "unknown" || state == "offline") return Shade::Warn;
    if (state == "lost" || state == "silent" || state == "fault" || state == "unhealthy") return Shade::Bad;
    return Shade::Plain;
}

Cell state_cell(const Json& state) { return {state.as_string(), shade_of(state.as_string())}; }
Cell count_cell(const Json& count) { return {std::to_string(count.as_int())}; }

Parameters parameters_of(const ListFilter& filter, std::string_view state_name) {
    Parameters parameters = {{"limit", "1000"}};
    if (!filter.garden.empty()) parameters.emplace_back("garden", filter.garden);
    if (!filter.node.empty()) parameters.emplace_back("node", filter.node);
    if (!filter.device.empty()) parameters.emplace_back("device", filter.device);
    if (!filter.state.empty()) parameters.emplace_back(state_name, filter.state);
    return parameters;
}

// Writes a paged list: a table, or one JSON object a line; `none` when it is empty.
Result<void> show_list(Client& client, const Terminal& terminal, const std::string& path, const Parameters& parameters, Table table,
                       const std::function<std::vector<Cell>(const Json&)>& row, const std::string& none) {
    auto done = client.each_item(path, parameters, [&](const Json& item) {
        if (terminal.json)
            terminal.write(item.dump() + "\n");
        else
            table.row(row(item));
        return true;
    });
    if (!done) return done;
    const bool filtered = std::ranges::any_of(parameters, [](const auto& parameter) { return parameter.first != "limit"; });
    const std::string nothing = filtered ? "Nothing here is like that; without the filter there may be more." : none;
    if (!terminal.json) terminal.write(table.empty() ? nothing + "\n" : table.text(terminal.colours));
    return {};
}

}  // namespace

Result<void> show_status(Client& client, const Terminal& terminal) {
    auto health = client.get("/api/health", {}, {503});
    if (!health) return pass(health);
    if (terminal.json) {
        terminal.write(health->dump(true) + "\n");
        return {};
    }
    const int64_t up = (*health)["uptime"].as_int(static_cast<int64_t>((*health)["uptime"].as_double()));
    const std::string uptime = up < 120 ? std::to_string(up) + " s" : up < 7200 ? std::to_string(up / 60) + " min" : std::to_string(up / 3600) + " h";
    terminal.write("coordinator " + (*health)["version"].as_string() + ", " + (*health)["status"].as_string() + ", up " + uptime + "\n\n");
    Table checks({"check", "status", "details"});
    for (const Json& check : (*health)["checks"].as_array())
        checks.row({{check["name"].as_string()}, state_cell(check["status"]), {check["details"].as_string()}});
    terminal.write(checks.text(terminal.colours) + "\n");
    return show_gardens(client, terminal);
}

Result<void> show_gardens(Client& client, const Terminal& terminal) {
    Table table({"garden", "gateways", "online", "devices", "not well", "last reading"});
    return show_list(
        client, terminal, "/api/gardens", {{"limit", "1000"}}, std::move(table),
        [&](const Json& garden) -> std::vector<Cell> {
            int64_t unwell = 0;
            for (const auto& [state, count] : garden["devices_by_state"].as_object())
                if (state == "late" || state == "silent" || state == "fault") unwell += count.as_int();
            const bool all_online = garden["nodes_online"].as_int() == garden["nodes"].as_int();
            return {{garden["id"].as_string()},
                    count_cell(garden["nodes"]),
                    {std::to_string(garden["nodes_online"].as_int()), all_online ? Shade::Good : Shade::Bad},
                    count_cell(garden["devices"]),
                    {std::to_string(unwell), unwell > 0 ? Shade::Warn : Shade::Plain},
                    {ago(garden["last_reading"].as_string(), terminal.clock->wall())}};
        },
        "No garden yet: a gateway appears here when its agent first connects.");
}

Result<void> show_nodes(Client& client, const Terminal& terminal, const ListFilter& filter) {
    Table table({"node", "garden", "presence", "last seen", "agent", "devices", "waiting", "lost readings"});
    return show_list(
        client, terminal, "/api/nodes", parameters_of(filter, "presence"), std::move(table),
        [&](const Json& node) -> std::vector<Cell> {
            const int64_t lost = node["gaps_total"].as_int();
            const Json& values = node["health"]["values"];  // as of its last report: batches sealed and not acknowledged
            const bool told = values["sealed_seq"].is_number();
            const int64_t waiting = std::max<int64_t>(0, static_cast<int64_t>(values["sealed_seq"].as_double() - values["acked_seq"].as_double()));
            return {{node["id"].as_string()},
                    {node["garden"].as_string()},
                    state_cell(node["presence"]),
                    {ago(node["last_seen"].as_string(), terminal.clock->wall())},
                    {node["agent_version"].as_string()},
                    {node["devices"].is_array() ? std::to_string(node["devices"].as_array().size()) : std::to_string(node["devices"].as_int())},
                    {told ? std::to_string(waiting) + (waiting == 1 ? " batch" : " batches") : "–"},
                    {std::to_string(lost), lost > 0 ? Shade::Warn : Shade::Plain}};
        },
        "No gateway yet: one appears here when its agent first connects.");
}

Result<void> show_devices(Client& client, const Terminal& terminal, const ListFilter& filter) {
    Table table({"node", "device", "state", "last reading", "battery", "link", "firmware", "why"});
    return show_list(
        client, terminal, "/api/devices", parameters_of(filter, "state"), std::move(table),
        [&](const Json& device) -> std::vector<Cell> {
            const Json& health = device["health"];
            const auto percent = [](const Json& value) { return value.is_number() ? std::to_string(value.as_int(static_cast<int64_t>(value.as_double()))) + " %" : std::string("–"); };
            const Json state = device["state"].is_string() ? device["state"] : health["state"].is_string() ? health["state"] : Json("unknown");
            return {{device["node"].as_string()},
                    {device["device"].as_string()},
                    state_cell(state),
                    {ago(device["last_reading"].as_string(), terminal.clock->wall())},
                    {percent(health["battery_percent"])},
                    {percent(health["link_quality_percent"])},
                    {health["firmware_version"].as_string().empty() ? "–" : health["firmware_version"].as_string()},
                    {health["reason"].as_string()}};
        },
        "No device yet: one appears here with its first reading.");
}

Result<void> show_series(Client& client, const Terminal& terminal, const ListFilter& filter) {
    Table table({"node", "device", "quantity", "last value", "when"});
    return show_list(
        client, terminal, "/api/series", parameters_of(filter, "quantity"), std::move(table),
        [&](const Json& series) -> std::vector<Cell> {
            const Json& latest = series["latest"];
            return {{series["node"].as_string()},
                    {series["device"].as_string()},
                    {series["quantity"].as_string()},
                    {value_text(latest["value"], series["unit"].as_string())},
                    {ago(latest["time"].as_string(), terminal.clock->wall())}};
        },
        "No series yet: one appears here with the first reading.");
}

Result<void> show_gaps(Client& client, const Terminal& terminal, const std::string& node) {
    Table table({"node", "readings lost", "reason", "from", "to"});
    Parameters parameters;
    if (!node.empty()) parameters.emplace_back("node", node);
    return show_list(
        client, terminal, "/api/gaps", parameters, std::move(table),
        [&](const Json& gap) -> std::vector<Cell> {
            const std::string lost = std::to_string(gap["readings"].as_int());
            return {{gap["node"].as_string()},
                    {gap["exact"].as_bool(true) ? lost : "at least " + lost, Shade::Warn},
                    {gap["reason"].as_string()},
                    {gap["from"].as_string().empty() ? "unknown" : gap["from"].as_string()},
                    {gap["to"].as_string().empty() ? "unknown" : gap["to"].as_string()}};
        },
        "No reading was reported lost.");
}

}  // namespace basmalin::coordinator
