#include "agent/health/bounded_command.h"

#include "shared/base/file.h"
#include "tests/agent/health/made_up_machine.h"

namespace basmalin::agent {
namespace {

class Running : public ::testing::Test {
  protected:
    Result<std::string> run(const std::string& script, Duration limit = seconds(20), size_t bytes_max = 4096) {
        return command_.run({"/bin/sh", "-c", script}, limit, bytes_max);
    }
    MadeUpMachine machine_;  // for its folder
    BoundedCommand command_;
};

TEST_F(Running, GivesWhatWasPrinted) {
    const auto printed = run("echo one; echo two >&2; printf three");
    ASSERT_TRUE(printed) << printed.error().message();
    EXPECT_EQ(*printed, "one\nthree");
}

TEST_F(Running, ReadsNothingAndInheritsNoSetting) {
    ::setenv("BASMALIN_TEST_SECRET", "x", 1);
    const auto printed = run("cat; echo \"$BASMALIN_TEST_SECRET$LC_ALL\"");
    ::unsetenv("BASMALIN_TEST_SECRET");
    ASSERT_TRUE(printed) << printed.error().message();
    EXPECT_EQ(*printed, "C\n");
}

TEST_F(Running, AFailureIsAnError) { EXPECT_EQ(run("exit 1").error().code, Code::Unavailable); }

TEST_F(Running, AProgramThatIsMissingIsAnError) {
    EXPECT_EQ(command_.run({machine_.root() + "/none"}, seconds(1), 10).error().code, Code::Unavailable);
}

TEST_F(Running, OneThatIsTooSlowIsEndedWithItsChildren) {
    const std::string pid_file = machine_.root() + "/pid";
    const auto printed = run("sleep 1000 & echo $! > " + pid_file + "; wait", milliseconds(500));
    ASSERT_FALSE(printed);
    EXPECT_EQ(printed.error().code, Code::Timeout);
    const auto pid = read_file(pid_file, 100);
    if (pid && !pid->empty()) {  // a machine so busy that the shell never came that far proves nothing
        const auto status = read_file("/proc/" + pid->substr(0, pid->find('\n')) + "/stat", 4096);
        EXPECT_TRUE(!status || status->find(") Z ") != std::string::npos) << *status;
    }
    EXPECT_TRUE(run("true"));
}

TEST_F(Running, OneThatClosesItsOutputAndStaysIsEnded) {
    EXPECT_EQ(run("exec >&-; sleep 1000", milliseconds(300)).error().code, Code::Timeout);
    EXPECT_TRUE(run("true"));
}

TEST_F(Running, OneThatPrintsTooMuchIsEnded) {
    EXPECT_EQ(run("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done").error().code, Code::Full);
    EXPECT_TRUE(run("true"));
}

}  // namespace
}  // namespace basmalin::agent
