#include "agent/app/idle_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace basmalin::agent {
namespace {

// Segments that are writable, or were while the loader relocated them, keep what was written: only those without PF_W are safe.
int give_back_segments(dl_phdr_info* object, size_t, void*) {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const auto& segment = object->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
        const uintptr_t first = (object->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
        const uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) / page * page;
        if (first < end)
            ::madvise(reinterpret_cast<void*>(first), end - first,
                      MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr): an address of the loader's
    }
    return 0;
}

}  // namespace

void give_back_memory() {
    ::malloc_trim(0);
    ::dl_iterate_phdr(give_back_segments, nullptr);
}

}  // namespace basmalin::agent
