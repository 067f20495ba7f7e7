import CLinux
import Glibc
package import LinuxOS

/// What the model's server needs of Linux beyond LinuxOS.
package enum ServerSupport {
  /// Makes two connected sockets; the caller owns both numbers.
  ///
  /// What is sent into the second one is refused (EPIPE): the pair carries only the news that the second one
  /// is closed everywhere.
  package static func makeLifeline() throws(SystemError) -> (watched: Int32, held: Int32) {
    var numbers: [Int32] = [-1, -1]
    let status = unsafe numbers.withUnsafeMutableBufferPointer {
      unsafe clinux_local_pair(Int32(SOCK_SEQPACKET.rawValue), $0.baseAddress)
    }
    guard status >= 0 else { throw SystemError(.socketpair, code: -status) }
    _ = sev_shutdown_reading(numbers[0])
    return (numbers[0], numbers[1])
  }

  /// Puts one byte in front of the other end of a lifeline.
  package static func mark(_ watched: borrowing OwnedDescriptor) {
    // Should it fail, the other end is closed, and nobody is left to see a mark.
    _ = unsafe withUnsafeBytes(of: UInt8(1)) { unsafe sev_send(watched.number, $0.baseAddress, 1, -1) }
  }

  /// Raises the soft limit of open descriptors to the hard one; without success the old one stays.
  package static func raiseDescriptorLimit() {
    _ = sev_raise_descriptor_limit()
  }

  /// Overwrites bytes that held a secret; the compiler does not drop it.
  package static func wipe(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { unsafe clinux_wipe($0.baseAddress, $0.count) }
  }
}
