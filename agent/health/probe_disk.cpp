#include <filesystem>

#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"
#include "shared/base/file.h"

namespace basmalin::agent {
namespace {

constexpr int64_t day_ms = 86'400'000;
constexpr uint64_t sector_bytes = 512;  // of /proc/diskstats, whatever the disk's own

struct Mount {
    std::string_view number;  // "179:2"
    bool read_only = false;
};

bool has_option(std::string_view options, std::string_view wanted) {
    while (!options.empty()) {
        const size_t end = options.find(',');
        if (options.substr(0, end) == wanted) return true;
        if (end == std::string_view::npos) return false;
        options.remove_prefix(end + 1);
    }
    return false;
}

// mountinfo writes blank, tab, newline and backslash as \040 \011 \012 \134.
std::string unescaped(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto digit = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1; };
        if (text[i] == '\\' && digit(i + 1) >= 0 && digit(i + 1) <= 3 && digit(i + 2) >= 0 && digit(i + 3) >= 0) {
            out += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool holds(const std::string& mount_point, const std::string& path) {
    if (mount_point == "/") return true;
    return path.starts_with(mount_point) && (path.size() == mount_point.size() || path[mount_point.size()] == '/');
}

// proc(5), /proc/pid/mountinfo: id parent major:minor root mount_point options [tags] - type source super_options. It names the
// device by number where /proc/mounts may say only "/dev/root", and a remount after an error shows in the super options.
std::optional<Mount> mount_of(std::string_view mountinfo, const std::string& path) {
    std::optional<Mount> found;
    size_t found_length = 0;
    each_line(mountinfo, [&](std::string_view line) {
        const auto w = words(line, 32);
        if (w.size() < 10) return;
        size_t dash = 6;
        while (dash < w.size() && w[dash] != "-") ++dash;
        if (dash + 3 >= w.size()) return;
        const std::string point = unescaped(w[4]);
        if (!holds(point, path) || (found && point.size() < found_length)) return;  // a later mount hides an equal one
        found_length = point.size();
        found = Mount{w[2], has_option(w[5], "ro") || has_option(w[dash + 3], "ro")};
    });
    return found;
}

// The disk of a partition by the kernel's naming: mmcblk0p2, nvme0n1p1 and sda1 are of mmcblk0, nvme0n1 and sda.
std::string_view disk_of(std::string_view partition) {
    const size_t last = partition.find_last_not_of("0123456789");
    if (last == std::string_view::npos || last + 1 == partition.size()) return partition;
    if (partition.starts_with("sd") || partition.starts_with("vd") || partition.starts_with("hd")) return partition.substr(0, last + 1);
    const bool numbered = partition.starts_with("mmcblk") || partition.starts_with("nvme");
    if (numbered && partition[last] == 'p' && last > 0 && partition[last - 1] >= '0' && partition[last - 1] <= '9')
        return partition.substr(0, last);
    return partition;
}

struct Written {
    std::string device;
    uint64_t bytes = 0;
};

// Documentation/admin-guide/iostats.rst: field 7 after the name's own three is the sectors written. The whole disk counts, since
// that is what wears out.
std::optional<Written> written_since_boot(std::string_view diskstats, std::string_view number) {
    std::string wanted;
    each_line(diskstats, [&](std::string_view line) {
        const auto w = words(line);
        if (w.size() >= 10 && std::string(w[0]) + ":" + std::string(w[1]) == number) wanted = disk_of(w[2]);
    });
    std::optional<Written> out;
    if (wanted.empty()) return out;
    each_line(diskstats, [&](std::string_view line) {
        const auto w = words(line);
        if (w.size() < 10 || w[2] != wanted) return;
        const auto sectors = whole_number(w[9]);
        if (sectors && *sectors <= (uint64_t{1} << 53)) out = Written{wanted, *sectors * sector_bytes};
    });
    return out;
}

int64_t day_of(WallTime wall) { return wall.ms >= 0 ? wall.ms / day_ms : (wall.ms - day_ms + 1) / day_ms; }

std::string resolved(const std::string& root, const std::string& path) {
    if (!root.empty()) return path;
    std::error_code error;
    const auto real = std::filesystem::canonical(path, error);
    return error ? path : real.string();
}

}  // namespace

void DiskProbe::read(const std::string& root, const std::string& disk_path, MonoTime now, WallTime wall, NodeHealth& out) {
    if (const auto space = disk_space(root + disk_path)) {
        out.values["disk_total_bytes"] = static_cast<double>(space->total_bytes);
        out.values["disk_free_bytes"] = static_cast<double>(space->free_bytes);
        if (space->inodes_total > 0) out.values["inodes_free"] = static_cast<double>(space->inodes_free);  // btrfs has none
    }
    const auto mountinfo = read_text(root + "/proc/self/mountinfo", 1 << 20);
    const auto mount = mountinfo ? mount_of(*mountinfo, resolved(root, disk_path)) : std::nullopt;
    if (!mount) return;
    out.flags["disk_read_only"] = mount->read_only;

    const auto diskstats = read_text(root + "/proc/diskstats", 1 << 18);
    const auto written = diskstats ? written_since_boot(*diskstats, mount->number) : std::nullopt;
    if (!written) return;
    const int64_t day = day_of(wall);
    const bool same = counted_ && counted_->device == written->device && written->bytes >= counted_->bytes;
    if (!same)
        counted_ = Counted{written->device, day, written->bytes, written->bytes};
    else if (counted_->day != day)
        counted_ = Counted{written->device, day, written->bytes, counted_->bytes};
    counted_->bytes = written->bytes;
    const WallTime booted = wall - Duration{now.ms};
    out.values["disk_written_today_bytes"] =
        static_cast<double>(day_of(booted) == day ? written->bytes : written->bytes - counted_->baseline);
}

}  // namespace basmalin::agent
