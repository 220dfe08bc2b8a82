#include "coordinator/store/sqlite_store.h"
#include "shared/base/ids.h"

namespace basmalin::coordinator {

Result<SqliteStore::Counts*> SqliteStore::counts_of(Commit& work, const std::string& node) {
    const auto [at, is_new] = work.counts.try_emplace(node);
    if (!is_new) return &at->second;
    const auto count = [&](Statement& statement, int64_t& into) -> Result<void> {
        Resetting guard(statement);
        statement.bind(1, std::string_view(node));
        if (auto row = statement.step(); !row) return pass(row);
        into = statement.integer(0);
        return {};
    };
    if (auto done = count(sql_.count_series, at->second.series); !done) return pass(done);
    if (auto done = count(sql_.count_devices, at->second.devices); !done) return pass(done);
    return &at->second;
}

// 0 when the node has as many devices as it may.
Result<int64_t> SqliteStore::device_for(Commit& work, const std::string& node, const std::string& device) {
    {
        Resetting guard(sql_.find_device);
        sql_.find_device.bind(1, std::string_view(node)).bind(2, std::string_view(device));
        auto row = sql_.find_device.step();
        if (!row) return pass(row);
        if (*row) return sql_.find_device.integer(0);
    }
    auto counts = counts_of(work, node);
    if (!counts) return pass(counts);
    if ((*counts)->devices >= options_.devices_per_node_max) return 0;
    sql_.insert_device.bind(1, std::string_view(node)).bind(2, std::string_view(device));
    if (auto done = sql_.insert_device.run(); !done) return pass(done);
    ++(*counts)->devices;
    return fleet_.last_insert_rowid();
}

// 0 when the node has as many series as it may.
Result<SeriesId> SqliteStore::series_for(Commit& work, const std::string& node, int64_t device, const std::string& device_name,
                                         const Column& column) {
    {
        Resetting guard(sql_.find_series);
        sql_.find_series.bind(1, device).bind(2, std::string_view(column.quantity)).bind(3, std::string_view(column.unit));
        sql_.find_series.bind(4, static_cast<int64_t>(column.kind));
        auto row = sql_.find_series.step();
        if (!row) return pass(row);
        if (*row) return sql_.find_series.integer(0);
    }
    auto counts = counts_of(work, node);
    if (!counts) return pass(counts);
    if ((*counts)->series >= options_.series_per_node_max) return 0;
    sql_.insert_series.bind(1, device).bind(2, std::string_view(column.quantity)).bind(3, std::string_view(column.unit));
    sql_.insert_series.bind(4, static_cast<int64_t>(column.kind));
    if (auto done = sql_.insert_series.run(); !done) return pass(done);
    ++(*counts)->series;
    const SeriesId id = fleet_.last_insert_rowid();
    work.result.new_series.push_back({id, node, device_name, column.quantity, column.unit, column.kind});
    return id;
}

// A definition that comes again is taken as a chance to give series that the budget refused before.
Result<std::string> SqliteStore::define(Commit& work, const IncomingBatch& batch, StreamState& state, const Layout& layout) {
    const auto at = state.layouts.find(layout.id);
    if (at != state.layouts.end()) {
        if (at->second.layout != layout) return "layout " + std::to_string(layout.id) + " was defined otherwise before";
        bool whole = true;
        for (const SeriesId id : at->second.series) whole = whole && id != 0;
        if (whole) return std::string{};
    } else if (state.layouts.size() >= layouts_per_stream_max) {
        return "its stream has defined as many layouts as one may";
    }
    KnownLayout known;
    known.layout = layout;
    auto device = device_for(work, batch.node, layout.device);
    if (!device) return pass(device);
    known.device = *device;
    bool refused = *device == 0;
    for (const Column& column : layout.columns) {
        Result<SeriesId> id = 0;
        if (*device != 0) id = series_for(work, batch.node, *device, layout.device, column);
        if (!id) return pass(id);
        refused = refused || *id == 0;
        known.series.push_back(*id);
    }
    if (refused && !state.budget_told) {
        state.budget_told = true;
        say(work, batch.node,
            "has as many series or devices as it may; readings of device '" + layout.device +
                "' are not all kept (raise store.series_per_node_max or store.devices_per_node_max)");
    }
    const std::string columns = encode_columns(layout.columns);
    const std::string series = encode_ids(known.series);
    sql_.insert_layout.bind(1, to_row(batch.stream)).bind(2, int64_t{layout.id}).bind(3, known.device);
    sql_.insert_layout.bind(4, std::string_view(layout.device)).bind_blob(5, columns).bind_blob(6, series);
    if (auto done = sql_.insert_layout.run(); !done) return pass(done);
    state.layouts[layout.id] = std::move(known);
    return std::string{};
}

}  // namespace basmalin::coordinator
