import Glibc
import LinuxOS

/// Opens a memfd at exactly this number, as a service manager would pass it.
func open(memfd name: String, at number: Int32) throws {
  let memfd = try Memfd.create(name: name, byteCount: 4096)
  try place(memfd, at: number)
}

/// A second descriptor of the same open file at exactly this number.
func place(_ descriptor: borrowing OwnedDescriptor, at number: Int32) throws {
  guard dup2(descriptor.number, number) == number else {
    throw SystemError(.dup, code: errno, subject: "descriptor \(number)")
  }
}

func isOpen(_ number: Int32) -> Bool { fcntl(number, F_GETFD) >= 0 }
