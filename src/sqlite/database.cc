#include "sqlite/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nexus::sqlite {
namespace {

Error error_of(sqlite3* db, int code) {
    const int system_errno = db == nullptr ? 0 : sqlite3_system_errno(db);
    std::string what = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
    if ((code & 0xFF) == SQLITE_IOERR) {
        what += " (code " + std::to_string(code);
        if (system_errno != 0) what += std::string(", ") + std::strerror(system_errno);
        what += ')';
    }
    return {.fault = fault_of(code, system_errno), .what = std::move(what)};
}

Error is_link(const std::string& path) {
    return {Fault::denied, "opening " + path + ": it is a symbolic link, which is never followed here"};
}

}  // namespace

Fault fault_of(int code, int system_errno) {
    // A sync that failed says nothing about what became of the data, whatever the reason, and may succeed falsely the
    // next time.
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) return Fault::failed;
    // The index of the WAL is rebuilt, never stored: it can only have met a full disk, and SQLite does not keep the
    // errno.
    if (code == SQLITE_IOERR_SHMSIZE) return Fault::no_space;
    switch (code & 0xFF) {
        case SQLITE_FULL: return Fault::no_space;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return Fault::corrupt;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH: return Fault::denied;
        case SQLITE_TOOBIG:
        case SQLITE_MISMATCH: return Fault::invalid;
        default: return system_errno == ENOSPC || system_errno == EDQUOT ? Fault::no_space : Fault::failed;
    }
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return std::unexpected(error_of(sqlite3_db_handle(handle_.get()), code));
}

Result<void> Statement::finish() {
    auto row = step();
    while (row && *row) row = step();
    reset();
    if (!row) return std::unexpected(std::move(row).error());
    return {};
}

std::string_view Statement::bytes(int column) const {
    const void* data = sqlite3_column_blob(handle_.get(), column);
    const int size = sqlite3_column_bytes(handle_.get(), column);
    if (data == nullptr || size <= 0) return {};
    return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

Result<void> make_private_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = fd < 0 || ::fchmod(fd, 0600) != 0 ? errno : 0;
    if (fd >= 0) ::close(fd);
    if (code == 0) return {};
    Fault fault = Fault::failed;
    if (code == ENOSPC || code == EDQUOT) fault = Fault::no_space;
    if (code == EACCES || code == EPERM || code == EROFS) fault = Fault::denied;
    if (code == ELOOP) return std::unexpected(is_link(path));
    return fail(fault, "creating " + path + ": " + std::strerror(code));
}

Result<Database> Database::open(const std::string& path, Access access, const std::string& vfs) {
    const int flags = (access == Access::write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                      SQLITE_OPEN_NOMUTEX;
    // SQLite follows links of the database itself, though not of the files beside it.
    struct stat about{};
    if (::lstat(path.c_str(), &about) == 0 && S_ISLNK(about.st_mode)) return std::unexpected(is_link(path));
    // SQLite counts what it allocates under a mutex that all its threads share; nothing here reads the count.
    [[maybe_unused]] static const int uncounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, vfs.empty() ? nullptr : vfs.c_str());
    Database db;
    db.handle_.reset(raw);
    if (code != SQLITE_OK) return std::unexpected(error_of(raw, code).during("opening " + path));
    sqlite3_extended_result_codes(raw, 1);
    // Another process may hold a lock for a moment (an export, a backup); our own connections never wait for each
    // other.
    sqlite3_busy_timeout(raw, 5'000);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    if (access == Access::read) sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    if (auto ok = db.run("PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY"); !ok)
        return std::unexpected(std::move(ok).error().during("opening " + path));
    return db;
}

Result<void> Database::run(const char* sql) {
    const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return std::unexpected(error_of(handle_.get(), code));
    return {};
}

Result<Statement> Database::prepare(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v3(handle_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    if (code != SQLITE_OK)
        return std::unexpected(error_of(handle_.get(), code).during(std::string("preparing ") + sql));
    Statement statement;
    statement.handle_.reset(raw);
    return statement;
}

Result<std::int64_t> Database::integer(const char* sql) {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(std::move(statement).error());
    const auto row = statement->step();
    if (!row) return std::unexpected(row.error());
    return *row ? statement->integer(0) : 0;
}

void Database::rollback() {
    // SQLite has already rolled back by itself after some errors (a full disk among them).
    if (in_transaction()) sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace nexus::sqlite
