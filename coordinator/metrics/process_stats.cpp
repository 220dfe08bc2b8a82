// Source: proc(5): /proc/[pid]/stat fields 14 utime, 15 stime, 20 num_threads, 23 vsize, 24 rss.
#include "coordinator/metrics/process_stats.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "shared/base/file.h"

namespace basmalin::coordinator {

ProcessStats read_process_stats() {
    ProcessStats stats;
    if (const auto text = read_file("/proc/self/stat", 4096); text) {
        std::istringstream rest(text->substr(std::min(text->rfind(')') + 1, text->size())));
        std::vector<double> fields(3);  // from field 3 on, so that fields[n] is field n
        for (std::string word; rest >> word;) fields.push_back(std::strtod(word.c_str(), nullptr));
        if (fields.size() > 24) {
            const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
            stats.cpu_seconds = (fields[14] + fields[15]) / ticks;
            stats.threads = fields[20];
            stats.virtual_bytes = fields[23];
            stats.resident_bytes = fields[24] * static_cast<double>(sysconf(_SC_PAGESIZE));
        }
    }
    if (DIR* folder = opendir("/proc/self/fd"); folder != nullptr) {
        double count = 0;
        while (const dirent* entry = readdir(folder)) count += entry->d_name[0] == '.' ? 0 : 1;
        closedir(folder);
        stats.open_descriptors = count - 1;  // without the one of this look
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.descriptors_max = static_cast<double>(limit.rlim_cur);
    return stats;
}

}  // namespace basmalin::coordinator
