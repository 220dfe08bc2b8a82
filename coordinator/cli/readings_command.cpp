// `basmalin readings`: raw readings or steps of one node, device or quantity; with `follow`, on and on.
// R1  Following asks again from the newest time already shown and leaves out what was shown of that very moment.
// R2  Late readings (a gateway's backlog) that lie before the newest shown are not shown while following: the table is live.
#include <set>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/table.h"

namespace basmalin::coordinator {
namespace {

Result<Parameters> parameters_of(const ReadingsRequest& request) {
    std::vector<std::string> parts;
    size_t from = 0;
    for (size_t slash; (slash = request.what.find('/', from)) != std::string::npos; from = slash + 1) parts.push_back(request.what.substr(from, slash - from));
    parts.push_back(request.what.substr(from));
    bool good = parts.size() <= 3;
    for (const std::string& part : parts) good = good && !part.empty();
    if (!good) return fail(Code::Invalid, "'" + request.what + "' names no readings", "write NODE, NODE/DEVICE or NODE/DEVICE/QUANTITY");
    Parameters parameters = {{"node", parts[0]}};
    if (parts.size() > 1) parameters.emplace_back("device", parts[1]);
    if (parts.size() > 2) parameters.emplace_back("quantity", parts[2]);
    const bool relative = !request.since.empty() && request.since.find_first_of(":T-") == std::string::npos;
    parameters.emplace_back("from", relative ? "-" + request.since : request.since);
    if (!request.until.empty()) {
        const bool until_relative = request.until.find_first_of(":T-") == std::string::npos;
        parameters.emplace_back("to", until_relative ? "-" + request.until : request.until);
    }
    if (!request.step.empty()) parameters.emplace_back("step", request.step);
    return parameters;
}

// Lines of a table that goes on: fixed widths, so that what follows stays below what came.
std::string line_of(const Json& reading) {
    const auto pad = [](const std::string& cell, size_t width) {
        std::string text = printable(cell);
        const size_t shown = width_of(text);
        if (shown < width) text.append(width - shown, ' ');
        return text + "  ";
    };
    return pad(reading["time"].as_string() + (reading["estimated"].as_bool() ? "~" : ""), 25) + pad(reading["device"].as_string(), 20) +
           pad(reading["quantity"].as_string(), 24) + printable(value_text(reading["value"], reading["unit"].as_string())) + "\n";
}

std::vector<Cell> row_of(const Json& reading, bool steps) {
    const std::string unit = reading["unit"].as_string();
    const std::string time = reading["time"].as_string() + (reading["estimated"].as_bool() ? " ~" : "");
    if (!steps) return {{time}, {reading["device"].as_string()}, {reading["quantity"].as_string()}, {value_text(reading["value"], unit)}};
    return {{time},
            {reading["device"].as_string()},
            {reading["quantity"].as_string()},
            {value_text(reading["min"], unit)},
            {value_text(reading["mean"], unit)},
            {value_text(reading["max"], unit)},
            {std::to_string(reading["count"].as_int())}};
}

Result<void> follow(Client& client, const Terminal& terminal, const ReadingsRequest& request, Parameters parameters) {
    std::string newest;
    std::set<std::string> shown;  // readings of the moment `newest`, as JSON
    while (request.go_on()) {
        auto page = client.get("/api/readings", parameters);
        // A device that has not spoken yet may speak soon.
        if (!page && page.error().code != Code::NotFound && page.error().code != Code::Unavailable && page.error().code != Code::Timeout) return pass(page);
        bool more = false;
        if (page) {
            more = (*page)["next"].is_string();
            for (const Json& reading : (*page)["items"].as_array()) {
                const std::string time = reading["time"].as_string();
                const std::string text = reading.dump();
                if (time < newest || (time == newest && shown.contains(text))) continue;
                if (time != newest) shown.clear();
                newest = time;
                shown.insert(text);
                terminal.write(terminal.json ? text + "\n" : line_of(reading));
            }
        }
        if (!newest.empty()) {
            std::erase_if(parameters, [](const auto& parameter) { return parameter.first == "from"; });
            parameters.emplace_back("from", newest);
        }
        if (!more) request.pause(seconds(2));
    }
    return {};
}

}  // namespace

Result<void> show_readings(Client& client, const Terminal& terminal, const ReadingsRequest& request) {
    auto parameters = parameters_of(request);
    if (!parameters) return pass(parameters);
    if (request.follow && (request.csv || !request.step.empty() || !request.until.empty()))
        return fail(Code::Invalid, "--follow shows every new reading", "leave out --csv, --step and --until");
    if (request.follow) return follow(client, terminal, request, std::move(*parameters));
    if (request.csv) {
        parameters->emplace_back("format", "csv");
        return client.get_text("/api/readings", *parameters, [&](std::string_view piece) { terminal.write(std::string(piece)); });
    }
    const bool steps = !request.step.empty();
    bool estimated = false;
    Table table(steps ? std::vector<std::string>{"time (UTC)", "device", "quantity", "min", "mean", "max", "readings"}
                      : std::vector<std::string>{"time (UTC)", "device", "quantity", "value"});
    auto done = client.each_item("/api/readings", *parameters, [&](const Json& reading) {
        estimated = estimated || reading["estimated"].as_bool();
        if (terminal.json)
            terminal.write(reading.dump() + "\n");
        else
            table.row(row_of(reading, steps));
        return true;
    });
    if (!done) return done;
    if (!terminal.json) terminal.write(table.empty() ? "No reading in that time; ask for more with --since 24h.\n" : table.text(terminal.colours));
    if (estimated && !terminal.json) terminal.write("~ estimated: the gateway's clock was not synchronised\n");
    return {};
}

}  // namespace basmalin::coordinator
