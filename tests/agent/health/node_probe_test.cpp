#include <random>

#include "agent/health/node_health.h"
#include "agent/health/probe_parts.h"
#include "agent/health/probe_text.h"
#include "tests/agent/health/made_up_machine.h"

namespace basmalin::agent {
namespace {

constexpr WallTime noon{1'790'000'000'000 - 1'790'000'000'000 % 86'400'000 + 43'200'000};
constexpr MonoTime an_hour_up{3'600'000};

class Probing : public ::testing::Test {
  protected:
    NodeHealth look(MonoTime now = an_hour_up, WallTime wall = noon) { return probe_.probe(now, wall); }
    static double value(const NodeHealth& h, const std::string& name) {
        const auto at = h.values.find(name);
        if (at == h.values.end()) {
            ADD_FAILURE() << name << " is left out";
            return -1;
        }
        return at->second;
    }
    static bool has(const NodeHealth& h, const std::string& name) { return h.values.contains(name); }

    MadeUpMachine machine_;
    NodeProbe probe_{NodeHealthOptions{}, machine_.root()};
};

TEST_F(Probing, ReadsEveryValueOfAPi) {
    machine_.become_a_pi();
    look();
    machine_.put("/proc/stat", "cpu  1150 0 550 8700 600 0 0 0 0 0\n");
    const NodeHealth h = look();
    EXPECT_DOUBLE_EQ(value(h, "cpu_ratio"), 0.2);
    EXPECT_EQ(value(h, "load1"), 0.52);
    EXPECT_EQ(value(h, "load5"), 0.58);
    EXPECT_EQ(value(h, "load15"), 0.59);
    EXPECT_EQ(value(h, "psi_cpu_ratio"), 0.125);
    EXPECT_EQ(value(h, "psi_io_ratio"), 0.125);
    EXPECT_EQ(value(h, "psi_memory_ratio"), 0.125);
    EXPECT_EQ(value(h, "memory_total_bytes"), 3884360.0 * 1024);
    EXPECT_EQ(value(h, "memory_available_bytes"), 3000000.0 * 1024);
    EXPECT_EQ(value(h, "swap_total_bytes"), 102396.0 * 1024);
    EXPECT_EQ(value(h, "swap_used_bytes"), 10000.0 * 1024);
    EXPECT_EQ(value(h, "oom_kills_total"), 3);
    EXPECT_GT(value(h, "disk_total_bytes"), 0);
    EXPECT_GE(value(h, "disk_total_bytes"), value(h, "disk_free_bytes"));
    EXPECT_EQ(value(h, "disk_written_today_bytes"), 2000.0 * 512);
    EXPECT_EQ(value(h, "network_received_bytes_total"), 3000);
    EXPECT_EQ(value(h, "network_sent_bytes_total"), 1200);
    EXPECT_EQ(value(h, "network_errors_total"), 10);
    EXPECT_DOUBLE_EQ(value(h, "wifi_quality_ratio"), 0.9);
    EXPECT_EQ(value(h, "wifi_signal_dbm"), -47);
    EXPECT_DOUBLE_EQ(value(h, "temperature_celsius"), 48.312);
    EXPECT_EQ(value(h, "uptime_seconds"), 3600.25);
    EXPECT_EQ(value(h, "agent_open_files"), 3);
    EXPECT_GE(value(h, "agent_rss_bytes"), 1200.0 * 4096);
    const std::map<std::string, bool> throttle = {
        {"under_voltage_now", true},    {"under_voltage_since_boot", true}, {"frequency_capped", false}, {"throttled_now", true},
        {"throttled_since_boot", true}, {"soft_temperature_limit", false},  {"disk_read_only", false}};
    for (const auto& [name, expected] : throttle) {
        ASSERT_TRUE(h.flags.contains(name)) << name;
        EXPECT_EQ(h.flags.at(name), expected) << name;
    }
    EXPECT_EQ(h.flags.at("clock_synced"), h.time_trusted);
    EXPECT_EQ(h.texts.at("hostname"), "garden-3");
    EXPECT_EQ(h.texts.at("kernel"), "6.1.0-rpi7-rpi-v8");
    EXPECT_EQ(h.texts.at("boot_id"), "1c9b7a2e-0000-4000-8000-123456789abc");
    EXPECT_EQ(h.texts.at("agent_version"), BASMALIN_VERSION);
    EXPECT_TRUE(h.services.empty());
}

TEST_F(Probing, TheFirstProbeHasNoRate) {
    machine_.become_a_pi();
    EXPECT_FALSE(has(look(), "cpu_ratio"));
}

TEST_F(Probing, AnEmptyMachineLeavesAllOutButTheDiskAndTheClock) {
    const NodeHealth h = look();
    for (const auto& [name, v] : h.values)
        EXPECT_TRUE(name == "disk_total_bytes" || name == "disk_free_bytes" || name == "inodes_free" ||
                    name == "clock_offset_error_seconds")
            << name;
    EXPECT_EQ(h.flags.size(), 1u);
    EXPECT_EQ(h.texts.size(), 1u);
}

TEST_F(Probing, APcWithoutFirmwareFlagsHasNone) {
    machine_.become_a_pi();
    machine_.remove("/sys/devices");
    const NodeHealth h = look();
    EXPECT_FALSE(h.flags.contains("under_voltage_now"));
    EXPECT_FALSE(h.flags.contains("throttled_since_boot"));
}

TEST_F(Probing, TheHardwareMonitorStandsInForTheFirmwareAndItsAlarmIsRemembered) {
    machine_.put("/sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
    machine_.put("/sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    machine_.put("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    EXPECT_TRUE(look().flags.at("under_voltage_now"));
    machine_.put("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
    const NodeHealth after = look();
    EXPECT_FALSE(after.flags.at("under_voltage_now"));
    EXPECT_TRUE(after.flags.at("under_voltage_since_boot"));
    EXPECT_FALSE(after.flags.contains("throttled_now"));
}

TEST_F(Probing, ThrottlingSeenOnceIsRememberedWhenTheFirmwareForgets) {
    machine_.put("/sys/devices/platform/soc/soc:firmware/get_throttled", "0x4\n");
    EXPECT_TRUE(look().flags.at("throttled_now"));
    machine_.put("/sys/devices/platform/soc/soc:firmware/get_throttled", "0\n");
    EXPECT_FALSE(look().flags.at("throttled_now"));
    EXPECT_TRUE(look().flags.at("throttled_since_boot"));
    EXPECT_FALSE(look().flags.at("under_voltage_since_boot"));
}

TEST_F(Probing, TheProcessorsZoneCountsElseTheHottest) {
    machine_.put("/sys/class/thermal/thermal_zone0/temp", "27800\n");
    machine_.put("/sys/class/thermal/thermal_zone0/type", "acpitz\n");
    machine_.put("/sys/class/thermal/thermal_zone1/temp", "61000\n");
    machine_.put("/sys/class/thermal/thermal_zone1/type", "iwlwifi_1\n");
    machine_.put("/sys/class/thermal/thermal_zone2/temp", "-274000\n");
    EXPECT_EQ(value(look(), "temperature_celsius"), 61);
    machine_.put("/sys/class/thermal/thermal_zone7/temp", "55000\n");
    machine_.put("/sys/class/thermal/thermal_zone7/type", "x86_pkg_temp\n");
    EXPECT_EQ(value(look(), "temperature_celsius"), 55);
}

TEST_F(Probing, ARemountAfterAnErrorShowsAsReadOnly) {
    machine_.become_a_pi();
    machine_.put("/proc/self/mountinfo", "21 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root ro,errors=remount-ro\n");
    EXPECT_TRUE(look().flags.at("disk_read_only"));
}

TEST_F(Probing, TheMountThatHoldsThePathDecidesAndNotOneWhoseNameOnlyBeginsAlike) {
    machine_.become_a_pi();
    NodeHealthOptions options;
    options.disk_path = "/var/lib/with blank/data";
    NodeProbe inside(options, machine_.root());
    EXPECT_TRUE(inside.probe(an_hour_up, noon).flags.at("disk_read_only"));
    options.disk_path = "/var/lib/with blanket";
    NodeProbe beside(options, machine_.root());
    EXPECT_FALSE(beside.probe(an_hour_up, noon).flags.at("disk_read_only"));
}

class WrittenToday : public Probing {
  protected:
    double written(MonoTime now, WallTime wall, uint64_t sectors) {
        machine_.put("/proc/diskstats",
                     " 179 0 mmcblk0 1 0 1 1 1 0 " + std::to_string(sectors) + " 1 0 1 1\n 179 2 mmcblk0p2 1 0 1 1 1 0 7 1 0 1 1\n");
        return value(look(now, wall), "disk_written_today_bytes") / 512;
    }
    void SetUp() override { machine_.become_a_pi(); }
    const WallTime midnight_{noon + hours(12)};
};

TEST_F(WrittenToday, CountsFromBootWhenTheBootWasToday) {
    EXPECT_EQ(written(MonoTime{hours(2).ms}, noon, 5000), 5000);
    EXPECT_EQ(written(MonoTime{hours(3).ms}, noon + hours(1), 6000), 6000);
}

TEST_F(WrittenToday, CountsFromTheFirstProbeWhenTheBootWasEarlier) {
    EXPECT_EQ(written(MonoTime{hours(100).ms}, noon, 5000), 0);
    EXPECT_EQ(written(MonoTime{hours(101).ms}, noon + hours(1), 5400), 400);
}

TEST_F(WrittenToday, BeginsAgainAtMidnight) {
    written(MonoTime{hours(100).ms}, midnight_ - seconds(20), 5000);
    written(MonoTime{hours(100).ms + 10'000}, midnight_ - seconds(10), 5100);
    EXPECT_EQ(written(MonoTime{hours(100).ms + 20'000}, midnight_, 5130), 30);
    EXPECT_EQ(written(MonoTime{hours(100).ms + 30'000}, midnight_ + seconds(10), 5150), 50);
}

TEST_F(WrittenToday, ACounterThatFellBeginsAgain) {
    written(MonoTime{hours(100).ms}, noon, 5000);
    EXPECT_EQ(written(MonoTime{hours(101).ms}, noon, 100), 0);
    EXPECT_EQ(written(MonoTime{hours(102).ms}, noon, 150), 50);
}

TEST_F(WrittenToday, AStepOfTheClockNeverGivesLessThanNothing) {
    for (const int64_t step_hours : {0, 400, -300, 24 * 20'000, -24 * 30'000, 1})
        EXPECT_GE(written(MonoTime{hours(30).ms}, noon + hours(step_hours), 7000), 0) << step_hours;
}

TEST_F(Probing, MalformedFilesLeaveTheirValuesOut) {
    machine_.become_a_pi();
    machine_.put("/proc/loadavg", "0.5x -1 nan 1/1 1\n");
    machine_.put("/proc/pressure/cpu", "some avg10=101.0 avg60=0\n");
    machine_.put("/proc/pressure/io", "some\n");
    machine_.put("/proc/pressure/memory", "full avg10=1.0\n");
    machine_.put("/proc/meminfo", "MemTotal: 1 MB\nMemAvailable: -3 kB\nSwapTotal: 5 kB\nSwapFree: 6 kB\n");
    machine_.put("/proc/vmstat", "oom_kill 18446744073709551616\n");
    machine_.put("/proc/diskstats", " 179 2 mmcblk0p2 1 2\n");
    machine_.put("/proc/net/dev", "eth0: 1 2 3\nno colon\n: 1\n");
    machine_.put("/proc/net/wireless", "wlan0: 0000 x y\n");
    machine_.put("/proc/uptime", "inf 1\n");
    machine_.put("/proc/self/statm", "1\n");
    machine_.put("/sys/class/thermal/thermal_zone0/temp", "hot\n");
    machine_.put("/sys/devices/platform/soc/soc:firmware/get_throttled", "-5\n");
    machine_.put("/proc/sys/kernel/hostname", std::string("a\x01b\n"));
    machine_.put("/proc/sys/kernel/osrelease", std::string("\xff\xfe\n"));
    const NodeHealth h = look();
    for (const char* name :
         {"load1", "load5", "load15", "psi_cpu_ratio", "psi_io_ratio", "psi_memory_ratio", "memory_total_bytes", "memory_available_bytes",
          "swap_used_bytes", "oom_kills_total", "disk_written_today_bytes", "network_received_bytes_total", "wifi_quality_ratio",
          "uptime_seconds", "agent_rss_bytes", "temperature_celsius"})
        EXPECT_FALSE(has(h, name)) << name;
    EXPECT_EQ(value(h, "swap_total_bytes"), 5 * 1024);
    EXPECT_FALSE(h.flags.contains("under_voltage_now"));
    EXPECT_FALSE(h.texts.contains("hostname"));
    EXPECT_FALSE(h.texts.contains("kernel"));
}

TEST_F(Probing, FilesBeyondTheirBoundLeaveTheirValuesOut) {
    machine_.become_a_pi();
    machine_.put("/proc/loadavg", "0.5 0.5 0.5 " + std::string(8192, '1'));
    machine_.put("/proc/meminfo", "MemTotal: 5 kB\n" + std::string(1 << 20, ' '));
    const NodeHealth h = look();
    EXPECT_FALSE(has(h, "load1"));
    EXPECT_FALSE(has(h, "memory_total_bytes"));
    EXPECT_TRUE(has(h, "uptime_seconds"));
}

TEST_F(Probing, CountersThatFallGiveNoRate) {
    machine_.become_a_pi();
    look();
    machine_.put("/proc/stat", "cpu  10 0 5 80 5 0 0 0\n");
    EXPECT_FALSE(has(look(), "cpu_ratio"));
}

TEST_F(Probing, HostileBytesNeverBreakAProbe) {
    const char* files[] = {"/proc/stat",          "/proc/loadavg",        "/proc/meminfo",  "/proc/vmstat",
                           "/proc/self/mountinfo", "/proc/diskstats",      "/proc/net/dev",  "/proc/net/wireless",
                           "/proc/uptime",        "/proc/self/statm",     "/proc/pressure/cpu", "/proc/sys/kernel/hostname",
                           "/sys/class/thermal/thermal_zone0/temp", "/sys/devices/platform/soc/soc:firmware/get_throttled"};
    constexpr std::string_view alphabet = "0123456789 \n\t:.-=,\\x/ cpuMemTotal:kBsomeavg10=eth0wlan0oom_killmmcblk0p2rw-ext4";
    for (unsigned seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        for (const char* file : files) {
            std::string bytes;
            for (size_t n = random() % 400; n > 0; --n)
                bytes += random() % 20 == 0 ? static_cast<char>(random() % 256) : alphabet[random() % alphabet.size()];
            machine_.put(file, bytes);
        }
        const NodeHealth h = look();
        for (const auto& [name, v] : h.values) EXPECT_TRUE(std::isfinite(v)) << name;
        for (const auto& [name, t] : h.texts) EXPECT_TRUE(is_shown_text(t)) << name;
    }
}

TEST_F(Probing, ThisMachineCanBeLookedAt) {
    NodeProbe real(NodeHealthOptions{});
    const NodeHealth h = real.probe(SystemClock().mono(), SystemClock().wall());
    EXPECT_GT(value(h, "memory_total_bytes"), 0);
    EXPECT_GT(value(h, "agent_rss_bytes"), 0);
    EXPECT_GT(value(h, "agent_open_files"), 2);
    EXPECT_TRUE(h.flags.contains("disk_read_only"));
}

class Services : public ::testing::Test {
  protected:
    std::vector<NodeHealth::Service> ask(std::vector<std::string> units) {
        NodeHealthOptions options;
        options.services = std::move(units);
        return NodeProbe(options, machine_.root()).probe(an_hour_up, noon).services;
    }
    static NodeHealth::Service one(std::string unit, std::string state, int64_t restarts = 0) {
        return {std::move(unit), std::move(state), restarts};
    }
    MadeUpMachine machine_;
};

TEST_F(Services, AreAskedForInOneRunAndReportedByTheNameGiven) {
    machine_.put_program(
        "/usr/bin/systemctl",
        "[ \"$*\" = 'show --no-pager --property=Id,LoadState,ActiveState,NRestarts -- mosquitto.service sshd gone.service' ] || exit 1\n"
        "printf 'NRestarts=2\\nId=mosquitto.service\\nLoadState=loaded\\nActiveState=active\\n\\n'\n"
        "printf 'Id=ssh.service\\nLoadState=loaded\\nActiveState=failed\\nNRestarts=7\\n\\n'\n"
        "printf 'Id=gone.service\\nLoadState=not-found\\nActiveState=inactive\\nNRestarts=0\\n'\n");
    const std::vector expected = {one("mosquitto.service", "active", 2), one("sshd", "failed", 7), one("gone.service", "not-found")};
    EXPECT_EQ(ask({"mosquitto.service", "sshd", "gone.service"}), expected);
}

TEST_F(Services, AreUnknownWithoutSystemctlOrWhenItFails) {
    EXPECT_EQ(ask({"a.service"}), std::vector{one("a.service", "unknown")});
    machine_.put_program("/usr/bin/systemctl", "echo ActiveState=active\nexit 3\n");
    EXPECT_EQ(ask({"a.service"}), std::vector{one("a.service", "unknown")});
}

TEST_F(Services, ANameThatIsNoUnitIsNeverPassedOn) {
    machine_.put_program("/usr/bin/systemctl",
                         "for a in \"$@\"; do case \"$a\" in *evil*) exit 9;; esac; done\nprintf 'Id=a\\nActiveState=active\\n'\n");
    const std::vector expected = {one("--evil", "invalid"), one("a", "active"), one("evil;rm *", "invalid"), one("?", "invalid")};
    EXPECT_EQ(ask({"--evil", "a", "evil;rm *", "evil\n"}), expected);
}

TEST_F(Services, AnswersThatAreMissingAreMatchedByName) {
    const std::vector<std::string> units = {"a", "b.service", "c.timer"};
    const std::vector expected = {one("a", "active"), one("b.service", "unknown"), one("c.timer", "inactive", 4)};
    EXPECT_EQ(parse_services("Id=c.timer\nActiveState=inactive\nNRestarts=4\n\nId=a.service\nActiveState=active\n", units), expected);
}

TEST_F(Services, StatesAndCountsThatMakeNoSenseAreNotShown) {
    const std::vector expected = {one("a", "unknown", 0)};
    EXPECT_EQ(parse_services("Id=a\nActiveState=<b>\nNRestarts=-1\n", {"a"}), expected);
}

}  // namespace
}  // namespace basmalin::agent
