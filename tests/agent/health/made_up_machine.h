// A made-up /proc and /sys in a temporary folder.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace basmalin::agent {

class MadeUpMachine {
  public:
    MadeUpMachine() {
        std::string name = (std::filesystem::temp_directory_path() / "basmalin-machine-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
        root_ = name;
    }
    MadeUpMachine(const MadeUpMachine&) = delete;
    MadeUpMachine& operator=(const MadeUpMachine&) = delete;
    ~MadeUpMachine() {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }

    const std::string& root() const { return root_; }

    void put(const std::string& path, const std::string& content) {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path, std::ios::binary) << content;
    }
    void put_program(const std::string& path, const std::string& script) {
        put(path, "#!/bin/sh\n" + script);
        ::chmod((root_ + path).c_str(), 0755);
    }
    void remove(const std::string& path) { std::filesystem::remove_all(root_ + path); }

    // A Raspberry Pi 4 with a card, as its kernel shows it.
    void become_a_pi() {
        put("/proc/stat", "cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\nintr 123 0 0\n");
        put("/proc/loadavg", "0.52 0.58 0.59 1/187 4242\n");
        for (const char* resource : {"cpu", "io", "memory"})
            put(std::string("/proc/pressure/") + resource,
                "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");
        put("/proc/meminfo", "MemTotal:        3884360 kB\nMemFree:          200000 kB\nMemAvailable:    3000000 kB\n"
                             "SwapTotal:        102396 kB\nSwapFree:          92396 kB\nHugePages_Total:       0\n");
        put("/proc/vmstat", "nr_free_pages 1\noom_kill 3\n");
        put("/proc/self/mountinfo",
            "21 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n"
            "22 21 179:1 / /boot/firmware rw,relatime shared:2 - vfat /dev/mmcblk0p1 rw,fmask=0022\n"
            "23 21 0:20 / /var/lib/with\\040blank ro,nosuid - tmpfs tmpfs rw\n");
        put("/proc/diskstats", " 179       0 mmcblk0 900 0 7000 10 300 0 2000 5 0 8 15\n"
                               " 179       1 mmcblk0p1 100 0 1000 1 1 0 1 0 0 1 1\n"
                               " 179       2 mmcblk0p2 800 0 6000 9 299 0 1999 5 0 7 14\n");
        put("/proc/net/dev",
            "Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
            "    lo: 99 1 9 0 0 0 0 0 99 1 9 0 0 0 0 0\n"
            "  eth0:1000 10 1 0 0 0 0 0 500 5 2 0 0 0 0 0\n"
            " wlan0: 2000 20 3 0 0 0 0 0 700 7 4 0 0 0 0 0\n");
        put("/proc/net/wireless", "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
                                  " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
                                  " wlan0: 0000   63.  -47.  -256        0      0      0      0      0        0\n");
        put("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        put("/sys/class/thermal/thermal_zone0/temp", "48312\n");
        put("/sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n");
        put("/proc/uptime", "3600.25 7000.00\n");
        put("/proc/self/statm", "3000 1200 800 10 0 900 0\n");
        for (const char* file : {"0", "1", "2"}) put(std::string("/proc/self/fd/") + file, "");
        put("/proc/sys/kernel/random/boot_id", "1c9b7a2e-0000-4000-8000-123456789abc\n");
        put("/proc/sys/kernel/osrelease", "6.1.0-rpi7-rpi-v8\n");
        put("/proc/sys/kernel/hostname", "garden-3\n");
    }

  private:
    std::string root_;
};

}  // namespace basmalin::agent
