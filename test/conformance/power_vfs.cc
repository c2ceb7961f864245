#include "conformance/power_vfs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "base/must.h"

namespace nexus::test {
namespace {

constexpr std::size_t kSectorBytes = 512;

struct Change {
    std::int64_t offset = 0;
    std::string bytes;
    bool truncates = false;  // then `offset` is the new size
};

void carry_out(std::string& content, const Change& change) {
    const auto offset = static_cast<std::size_t>(change.offset);
    if (change.truncates) {
        content.resize(offset);
        return;
    }
    if (content.size() < offset + change.bytes.size()) content.resize(offset + change.bytes.size());
    content.replace(offset, change.bytes.size(), change.bytes);
}

}  // namespace

struct PowerDisk::File {
    std::string present;  // what the programs see
    std::string durable;  // what a power cut leaves
    std::vector<Change> unsynced;
};

namespace {

// What SQLite sees as an open file. The main database also has a real one, for its locks and shared memory.
struct OpenFile {
    sqlite3_file base;
    PowerDisk* disk;
    std::shared_ptr<PowerDisk::File>* file;
    sqlite3_file* real;
    char* real_storage;
};
OpenFile& open_file(sqlite3_file* f) {
    return *reinterpret_cast<OpenFile*>(f);
}

int code_of(PowerDisk::Outcome outcome, int io_error) {
    if (outcome == PowerDisk::Outcome::full) return SQLITE_FULL;
    return outcome == PowerDisk::Outcome::done ? SQLITE_OK : io_error;
}

int file_close(sqlite3_file* f) {
    OpenFile& open = open_file(f);
    if (open.real != nullptr && open.real->pMethods != nullptr) open.real->pMethods->xClose(open.real);
    delete[] open.real_storage;
    delete open.file;
    return SQLITE_OK;
}
int file_read(sqlite3_file* f, void* out, int size, sqlite3_int64 offset) {
    OpenFile& open = open_file(f);
    const bool whole = open.disk->read(**open.file, static_cast<char*>(out), static_cast<std::size_t>(size), offset);
    return whole ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}
int file_write(sqlite3_file* f, const void* bytes, int size, sqlite3_int64 offset) {
    OpenFile& open = open_file(f);
    return code_of(
        open.disk->write(**open.file, static_cast<const char*>(bytes), static_cast<std::size_t>(size), offset),
        SQLITE_IOERR_WRITE);
}
int file_truncate(sqlite3_file* f, sqlite3_int64 size) {
    OpenFile& open = open_file(f);
    return code_of(open.disk->truncate(**open.file, size), SQLITE_IOERR_TRUNCATE);
}
int file_sync(sqlite3_file* f, int) {
    OpenFile& open = open_file(f);
    return code_of(open.disk->sync(**open.file), SQLITE_IOERR_FSYNC);
}
int file_size(sqlite3_file* f, sqlite3_int64* size) {
    *size = open_file(f).disk->size(*(*open_file(f).file));
    return SQLITE_OK;
}
int file_lock(sqlite3_file* f, int level) {
    sqlite3_file* real = open_file(f).real;
    return real == nullptr ? SQLITE_OK : real->pMethods->xLock(real, level);
}
int file_unlock(sqlite3_file* f, int level) {
    sqlite3_file* real = open_file(f).real;
    return real == nullptr ? SQLITE_OK : real->pMethods->xUnlock(real, level);
}
int file_check_lock(sqlite3_file* f, int* out) {
    sqlite3_file* real = open_file(f).real;
    *out = 0;
    return real == nullptr ? SQLITE_OK : real->pMethods->xCheckReservedLock(real, out);
}
int file_control(sqlite3_file*, int, void*) {
    return SQLITE_NOTFOUND;
}
int file_sector(sqlite3_file*) {
    return kSectorBytes;
}
int file_traits(sqlite3_file*) {
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
int file_shm_map(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
    sqlite3_file* real = open_file(f).real;
    return real->pMethods->xShmMap(real, page, size, extend, out);
}
int file_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
    sqlite3_file* real = open_file(f).real;
    return real->pMethods->xShmLock(real, offset, n, flags);
}
void file_shm_barrier(sqlite3_file* f) {
    sqlite3_file* real = open_file(f).real;
    real->pMethods->xShmBarrier(real);
}
int file_shm_unmap(sqlite3_file* f, int remove) {
    sqlite3_file* real = open_file(f).real;
    return real->pMethods->xShmUnmap(real, remove);
}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

PowerDisk& disk_of(sqlite3_vfs* vfs) {
    return *static_cast<PowerDisk*>(vfs->pAppData);
}
sqlite3_vfs* system_vfs() {
    static sqlite3_vfs* const vfs = sqlite3_vfs_find("unix");
    return vfs;
}

int disk_open(sqlite3_vfs* vfs, const char* path, sqlite3_file* f, int flags, int* out_flags) {
    OpenFile& open = open_file(f);
    open = {};
    open.disk = &disk_of(vfs);
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
        open.real_storage = new char[static_cast<std::size_t>(system_vfs()->szOsFile)]();
        open.real = reinterpret_cast<sqlite3_file*>(open.real_storage);
        const int code = system_vfs()->xOpen(system_vfs(), path, open.real, flags, out_flags);
        if (code != SQLITE_OK) {
            delete[] open.real_storage;
            return code;
        }
    }
    open.file = new std::shared_ptr<PowerDisk::File>(open.disk->file(path != nullptr ? path : "(temporary)"));
    open.base.pMethods = &kMethods;
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
}
int disk_delete(sqlite3_vfs* vfs, const char* path, int) {
    disk_of(vfs).forget(path);
    return SQLITE_OK;
}
int disk_access(sqlite3_vfs* vfs, const char* path, int, int* out) {
    *out = disk_of(vfs).exists(path) ? 1 : 0;
    return SQLITE_OK;
}

}  // namespace

PowerDisk::PowerDisk(std::string name) : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>(*system_vfs())) {
    vfs_->zName = name_.c_str();
    vfs_->pAppData = this;
    vfs_->pNext = nullptr;
    vfs_->szOsFile = sizeof(OpenFile);
    vfs_->xOpen = disk_open;
    vfs_->xDelete = disk_delete;
    vfs_->xAccess = disk_access;
    MUST(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

PowerDisk::~PowerDisk() {
    sqlite3_vfs_unregister(vfs_.get());
}

std::shared_ptr<PowerDisk::File> PowerDisk::file(const std::string& path) {
    const std::lock_guard lock(mutex_);
    auto& file = files_[path];
    if (!file) file = std::make_shared<File>();
    return file;
}

bool PowerDisk::exists(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return files_.contains(path);
}

void PowerDisk::forget(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (!off_) files_.erase(path);
}

bool PowerDisk::off() {
    const std::lock_guard lock(mutex_);
    return off_;
}

std::uint64_t PowerDisk::operations() {
    const std::lock_guard lock(mutex_);
    return operations_;
}

void PowerDisk::power_on() {
    const std::lock_guard lock(mutex_);
    off_ = false;
    cut_at_ = 0;
}

void PowerDisk::cut_at_operation(std::uint64_t n, std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    cut_at_ = n == 0 ? 0 : operations_ + n;
    cut_seed_ = seed;
}

void PowerDisk::set_capacity(std::uint64_t bytes, std::string reserve_path) {
    const std::lock_guard lock(mutex_);
    capacity_ = bytes;
    reserve_path_ = std::move(reserve_path);
}

void PowerDisk::fail_syncs(bool fail) {
    const std::lock_guard lock(mutex_);
    fail_syncs_ = fail;
}

void PowerDisk::cut(std::uint64_t seed) {
    const std::lock_guard lock(mutex_);
    cut_locked(seed);
}

void PowerDisk::cut_locked(std::uint64_t seed) {
    Rng rng(seed);
    for (auto& [path, file] : files_) {
        const std::uint64_t kept_in_4 = rng.below(5);  // none, a quarter, half, three quarters, all of the sectors
        for (const Change& change : file->unsynced) {
            if (change.truncates) {
                if (rng.below(4) < kept_in_4) carry_out(file->durable, change);
                continue;
            }
            for (std::size_t at = 0; at < change.bytes.size(); at += kSectorBytes)
                if (rng.below(4) < kept_in_4)
                    carry_out(file->durable, {.offset = change.offset + static_cast<std::int64_t>(at),
                                              .bytes = change.bytes.substr(at, kSectorBytes)});
        }
        file->unsynced.clear();
        file->present = file->durable;
    }
    off_ = true;
}

// True when the power is gone by this operation, or was before.
bool PowerDisk::count_operation() {
    if (off_) return true;
    ++operations_;
    if (operations_ == cut_at_) cut_locked(cut_seed_);
    return off_;
}

std::uint64_t PowerDisk::used_locked() {
    std::uint64_t used = 0;
    for (const auto& [path, file] : files_) used += file->present.size();
    struct stat info{};
    if (!reserve_path_.empty() && ::stat(reserve_path_.c_str(), &info) == 0)
        used += static_cast<std::uint64_t>(info.st_size);
    return used;
}

PowerDisk::Outcome PowerDisk::write(File& file, const char* bytes, std::size_t size, std::int64_t offset) {
    const std::lock_guard lock(mutex_);
    if (off_) return Outcome::io_error;
    const auto end = static_cast<std::uint64_t>(offset) + size;
    if (capacity_ != 0 && end > file.present.size() && used_locked() + (end - file.present.size()) > capacity_)
        return Outcome::full;
    Change change{.offset = offset, .bytes = std::string(bytes, size)};
    carry_out(file.present, change);
    file.unsynced.push_back(std::move(change));
    return count_operation() ? Outcome::io_error : Outcome::done;
}

PowerDisk::Outcome PowerDisk::truncate(File& file, std::int64_t size) {
    const std::lock_guard lock(mutex_);
    if (off_) return Outcome::io_error;
    Change change{.offset = size, .bytes = {}, .truncates = true};
    carry_out(file.present, change);
    file.unsynced.push_back(std::move(change));
    return count_operation() ? Outcome::io_error : Outcome::done;
}

PowerDisk::Outcome PowerDisk::sync(File& file) {
    const std::lock_guard lock(mutex_);
    if (fail_syncs_ || count_operation()) return Outcome::io_error;
    for (const Change& change : file.unsynced) carry_out(file.durable, change);
    file.unsynced.clear();
    return Outcome::done;
}

bool PowerDisk::read(File& file, char* out, std::size_t size, std::int64_t offset) {
    const std::lock_guard lock(mutex_);
    const auto from = static_cast<std::size_t>(offset);
    const std::size_t there = from < file.present.size() ? std::min(size, file.present.size() - from) : 0;
    std::memcpy(out, file.present.data() + (there == 0 ? 0 : from), there);
    std::memset(out + there, 0, size - there);
    return there == size;
}

std::int64_t PowerDisk::size(File& file) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(file.present.size());
}

}  // namespace nexus::test
