// A disk with bad places under SQLite's files: a VFS over the usual one, the default for as long as this lives. Connections must
// be closed before it ends. Thread: any; one disk at a time.
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <string>

namespace basmalin::testing_support {

class FaultyDisk {
  public:
    FaultyDisk() : base_(sqlite3_vfs_find(nullptr)), vfs_(*base_) {
        vfs_.zName = "faulty";
        vfs_.szOsFile = static_cast<int>(sizeof(File)) + base_->szOsFile;
        vfs_.xOpen = open;
        vfs_.pNext = nullptr;
        the() = this;
        sqlite3_vfs_register(&vfs_, 1);
    }
    ~FaultyDisk() {
        sqlite3_vfs_register(base_, 1);
        sqlite3_vfs_unregister(&vfs_);
        the() = nullptr;
    }
    FaultyDisk(const FaultyDisk&) = delete;
    FaultyDisk& operator=(const FaultyDisk&) = delete;

    // The file that is now at `path` cannot be read where it touches [from, to).
    void bad_sector(const std::string& path, int64_t from, int64_t to) {
        const std::lock_guard lock(mutex_);
        bad_node_ = node_of(path);
        from_ = from;
        to_ = to;
    }
    // The next `times` writes to the database at `path` or its log fail, as long as it is the file that it is now.
    void fail_writes(std::string path, int times) {
        const std::lock_guard lock(mutex_);
        write_path_ = std::move(path);
        writes_to_fail_ = times;
        node_ = node_of(write_path_);
    }
    // Its log takes every write, the file that is now at `path` takes none.
    void fail_checkpoints(const std::string& path) {
        const std::lock_guard lock(mutex_);
        checkpoint_node_ = node_of(path);
    }
    // As with fail_writes(), its fsyncs: what was written before is in the file all the same.
    void fail_syncs(std::string path, int times) {
        const std::lock_guard lock(mutex_);
        sync_path_ = std::move(path);
        syncs_to_fail_ = times;
        sync_node_ = node_of(sync_path_);
    }

  private:
    struct File {
        sqlite3_file shown;
        const char* name;
        sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
    };
    static FaultyDisk*& the() {
        static FaultyDisk* disk = nullptr;
        return disk;
    }
    static ino_t node_of(const std::string& path) {
        struct stat what{};
        return ::stat(path.c_str(), &what) == 0 ? what.st_ino : 0;
    }
    static File* file_of(sqlite3_file* f) { return reinterpret_cast<File*>(f); }
    static sqlite3_file* real(sqlite3_file* f) { return file_of(f)->real(); }

    bool unreadable(const char* name, int64_t at, int64_t bytes) {
        const std::lock_guard lock(mutex_);
        return bad_node_ != 0 && name != nullptr && at < to_ && at + bytes > from_ && node_of(name) == bad_node_;
    }
    bool unwritable(const char* name) {
        const std::lock_guard lock(mutex_);
        if (checkpoint_node_ != 0 && name != nullptr && node_of(name) == checkpoint_node_) return true;
        const bool of_it = name != nullptr && (name == write_path_ || name == write_path_ + "-wal");
        return of_it && writes_to_fail_ > 0 && node_of(write_path_) == node_ && writes_to_fail_-- > 0;
    }
    bool unsyncable(const char* name) {
        const std::lock_guard lock(mutex_);
        const bool of_it = name != nullptr && (name == sync_path_ || name == sync_path_ + "-wal");
        return of_it && syncs_to_fail_ > 0 && node_of(sync_path_) == sync_node_ && syncs_to_fail_-- > 0;
    }

    static int open(sqlite3_vfs*, const char* name, sqlite3_file* f, int flags, int* out_flags) {
        static const sqlite3_io_methods methods = {
            2,
            [](sqlite3_file* x) { return real(x)->pMethods->xClose(real(x)); },
            [](sqlite3_file* x, void* into, int n, sqlite3_int64 at) {
                if (the()->unreadable(file_of(x)->name, at, n)) return SQLITE_IOERR_READ;
                return real(x)->pMethods->xRead(real(x), into, n, at);
            },
            [](sqlite3_file* x, const void* from, int n, sqlite3_int64 at) {
                if (the()->unwritable(file_of(x)->name)) return SQLITE_IOERR_WRITE;
                return real(x)->pMethods->xWrite(real(x), from, n, at);
            },
            [](sqlite3_file* x, sqlite3_int64 size) { return real(x)->pMethods->xTruncate(real(x), size); },
            [](sqlite3_file* x, int how) {
                if (the()->unsyncable(file_of(x)->name)) return SQLITE_IOERR_FSYNC;
                return real(x)->pMethods->xSync(real(x), how);
            },
            [](sqlite3_file* x, sqlite3_int64* size) { return real(x)->pMethods->xFileSize(real(x), size); },
            [](sqlite3_file* x, int how) { return real(x)->pMethods->xLock(real(x), how); },
            [](sqlite3_file* x, int how) { return real(x)->pMethods->xUnlock(real(x), how); },
            [](sqlite3_file* x, int* out) { return real(x)->pMethods->xCheckReservedLock(real(x), out); },
            [](sqlite3_file* x, int op, void* arg) { return real(x)->pMethods->xFileControl(real(x), op, arg); },
            [](sqlite3_file* x) { return real(x)->pMethods->xSectorSize(real(x)); },
            [](sqlite3_file* x) { return real(x)->pMethods->xDeviceCharacteristics(real(x)); },
            [](sqlite3_file* x, int page, int size, int extend, void volatile** out) {
                return real(x)->pMethods->xShmMap(real(x), page, size, extend, out);
            },
            [](sqlite3_file* x, int offset, int n, int how) { return real(x)->pMethods->xShmLock(real(x), offset, n, how); },
            [](sqlite3_file* x) { real(x)->pMethods->xShmBarrier(real(x)); },
            [](sqlite3_file* x, int remove) { return real(x)->pMethods->xShmUnmap(real(x), remove); },
            nullptr,
            nullptr,
        };
        File* file = file_of(f);
        file->shown.pMethods = nullptr;
        file->name = name;
        file->real()->pMethods = nullptr;
        const int rc = the()->base_->xOpen(the()->base_, name, file->real(), flags, out_flags);
        if (file->real()->pMethods != nullptr) file->shown.pMethods = &methods;
        return rc;
    }

    sqlite3_vfs* base_;
    sqlite3_vfs vfs_;
    std::mutex mutex_;
    ino_t bad_node_ = 0;
    int64_t from_ = 0;
    int64_t to_ = 0;
    std::string write_path_;
    ino_t node_ = 0;
    int writes_to_fail_ = 0;
    ino_t checkpoint_node_ = 0;
    std::string sync_path_;
    ino_t sync_node_ = 0;
    int syncs_to_fail_ = 0;
};

}  // namespace basmalin::testing_support
