import CLinux
import Glibc

/// A failed system call: which one, on what, and why.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The call that failed.
  public let call: Call
  /// The positive `errno` value, as in errno(3).
  public let code: Int32
  /// What the call was about (a path, a name), or nil.
  public let subject: String?

  public init(_ call: Call, code: Int32, subject: String? = nil) {
    self.call = call
    self.code = code
    self.subject = subject
  }

  /// The system calls of this module, by their name in section 2 of the manual.
  public enum Call: String, Hashable, Sendable, CaseIterable {
    case accept, bind, chmod, connect, dup, eventfd, fcntl, fstat, ftruncate, futex, getsockopt
    case listen, madvise, memfdCreate = "memfd_create", mkdir, mmap, munmap, open
    case pidfdOpen = "pidfd_open", pidfdSendSignal = "pidfd_send_signal", pipe, poll, prctl
    case pread, pthreadCreate = "pthread_create", pwrite, read, recvmsg, rename, sendmsg
    case setsockopt, signalfd, sigprocmask, socket, socketpair, unlink, write
    case processVMReadv = "process_vm_readv", processVMWritev = "process_vm_writev", epoll
    case posixSpawn = "posix_spawn", getrlimit, ioctl
  }

  public var description: String {
    let reason = unsafe String(cString: strerror(code))
    if let subject { return "\(call.rawValue) of \(subject) failed: \(reason) (errno \(code))" }
    return "\(call.rawValue) failed: \(reason) (errno \(code))"
  }

  /// Whether a non-blocking call would have had to wait (`EAGAIN`).
  public var wouldBlock: Bool { code == EAGAIN }
  /// Whether the peer is gone (`EPIPE`, `ECONNRESET`, `ENOTCONN`).
  public var isDisconnection: Bool { code == EPIPE || code == ECONNRESET || code == ENOTCONN }

  /// Whether the number is no open descriptor (`EBADF`).
  public var isWrongDescriptor: Bool { code == EBADF }

  /// Whether the right to do it was missing (`EACCES`, `EPERM`).
  public var isPermissionDenial: Bool { code == EACCES || code == EPERM }
}

/// Turns the shim's convention (`-errno` on failure) into a typed error; repeats on `EINTR`.
func checked(
  _ call: SystemError.Call, on subject: String? = nil, _ body: () -> Int
) throws(SystemError) -> Int {
  while true {
    let result = body()
    if result >= 0 { return result }
    if result == -Int(EINTR) { continue }
    throw SystemError(call, code: Int32(-result), subject: subject)
  }
}
