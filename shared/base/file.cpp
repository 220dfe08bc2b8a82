#include "shared/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace basmalin {
namespace {

std::unexpected<Error> os_error(int number, const std::string& what) {
    const Code code = number == ENOENT                      ? Code::NotFound
                      : number == EACCES || number == EPERM ? Code::Denied
                      : number == ENOSPC || number == EDQUOT ? Code::Full
                                                             : Code::Unavailable;
    return fail(code, what + ": " + std::strerror(number));
}

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

  private:
    int fd_;
};

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t bytes_max) {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return os_error(errno, path);
    std::string out;
    char block[16384];
    for (;;) {
        const ssize_t n = ::read(fd.get(), block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return os_error(errno, path);
        if (n == 0) return out;
        if (out.size() + static_cast<size_t>(n) > bytes_max)
            return fail(Code::Full, path + ": longer than " + std::to_string(bytes_max) + " bytes");
        out.append(block, static_cast<size_t>(n));
    }
}

Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode) {
    const std::string temporary = path + ".tmp";
    {
        const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
        if (fd.get() < 0) return os_error(errno, temporary);
        if (::fchmod(fd.get(), mode) != 0 || !write_all(fd.get(), bytes) || ::fsync(fd.get()) != 0) {
            const int number = errno;
            ::unlink(temporary.c_str());
            return os_error(number, temporary);
        }
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        const int number = errno;
        ::unlink(temporary.c_str());
        return os_error(number, path);
    }
    return sync_folder(folder_of(path));
}

std::string folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

Result<void> sync_folder(const std::string& folder) {
    const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return os_error(errno, folder);
    if (::fsync(fd.get()) != 0) return os_error(errno, folder);
    return {};
}

Result<void> make_folders(const std::string& path, unsigned mode) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return {};
    std::filesystem::create_directories(path, error);
    if (error) return os_error(error.value(), path);
    ::chmod(path.c_str(), mode);
    return {};
}

Result<DiskSpace> disk_space(const std::string& path) {
    struct statvfs s{};
    if (::statvfs(path.c_str(), &s) != 0) return os_error(errno, path);
    const auto unit = static_cast<int64_t>(s.f_frsize);
    return DiskSpace{static_cast<int64_t>(s.f_blocks) * unit, static_cast<int64_t>(s.f_bavail) * unit, static_cast<int64_t>(s.f_files),
                     static_cast<int64_t>(s.f_favail)};
}

}  // namespace basmalin
