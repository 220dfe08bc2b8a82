// What /proc/self says of this process. Missing files leave zeros. Threads: any.
#pragma once

namespace basmalin::coordinator {

struct ProcessStats {
    double resident_bytes = 0;
    double virtual_bytes = 0;
    double cpu_seconds = 0;  // user and system
    double threads = 0;
    double open_descriptors = 0;
    double descriptors_max = 0;
};
ProcessStats read_process_stats();

}  // namespace basmalin::coordinator
