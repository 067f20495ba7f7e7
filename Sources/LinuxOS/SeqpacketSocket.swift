import CLinux
import Glibc

/// What one receive call brought.
public struct ReceivedRecord: ~Copyable {
  /// Bytes written at the start of the caller's buffer.
  public let byteCount: Int
  /// The descriptors of the record, in the sender's order, all close-on-exec.
  public var descriptors: DescriptorList

  /// Takes the descriptors out.
  public consuming func takeDescriptors() -> DescriptorList { descriptors }
}

/// Why a record could not be received.
public enum ReceiveFailure: Error, Equatable, Sendable {
  case system(SystemError)
  /// The record was larger than the buffer; its descriptors were closed.
  case recordTruncated
  /// Some descriptors could not be installed (table full); those that could were closed.
  case descriptorsTruncated
}

/// One end of a local `SOCK_SEQPACKET` connection: records and their descriptors travel together.
public struct SeqpacketSocket: ~Copyable, Sendable {
  /// At most this many descriptors fit in one record (`SCM_MAX_FD`, unix(7)).
  public static let maximumDescriptors = Int(CLINUX_MAXIMUM_DESCRIPTORS)

  public let descriptor: OwnedDescriptor

  /// Takes ownership of a connected seqpacket socket.
  public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Two connected ends.
  public struct Pair: ~Copyable {
    public var first: SeqpacketSocket
    public var second: SeqpacketSocket
  }

  /// Makes two connected ends. The corresponding C function is `socketpair`.
  public static func pair() throws(SystemError) -> Pair {
    var numbers: [Int32] = [-1, -1]
    _ = try checked(.socketpair) {
      unsafe numbers.withUnsafeMutableBufferPointer {
        unsafe Int(clinux_local_pair(Int32(SOCK_SEQPACKET.rawValue), $0.baseAddress))
      }
    }
    return Pair(
      first: SeqpacketSocket(adopting: OwnedDescriptor(adopting: numbers[0])),
      second: SeqpacketSocket(adopting: OwnedDescriptor(adopting: numbers[1])))
  }

  /// Connects to a listening socket.
  ///
  /// - Parameter patienceMilliseconds: For how long at most to wait for a listener whose queue is full, and later in each
  ///   send for a peer whose queue is (`SO_SNDTIMEO`, socket(7)); nil for ever.
  /// - Throws: `ENOENT` or `ECONNREFUSED` when nobody listens, `EAGAIN` when the listener's queue was full for so long,
  ///   `EACCES` without write permission, `ENAMETOOLONG` for a path over 107 bytes.
  public static func connect(
    path: String, patienceMilliseconds: Int32? = nil
  ) throws(SystemError) -> SeqpacketSocket {
    let socket = OwnedDescriptor(
      adopting: Int32(
        try checked(.socket) { Int(clinux_local_socket(Int32(SOCK_SEQPACKET.rawValue))) }))
    let number = socket.number
    if let patience = patienceMilliseconds {
      _ = try checked(.setsockopt) { Int(clinux_set_send_timeout(number, patience)) }
    }
    _ = try checked(.connect, on: path) { unsafe Int(clinux_local_connect(number, path)) }
    return SeqpacketSocket(adopting: socket)
  }

  /// Sends one record and the descriptors that belong to it; both arrive or neither does.
  ///
  /// The descriptors stay owned by the caller; the peer receives duplicates.
  ///
  /// - Parameters:
  ///   - bytes: The record. Must not be empty, because an empty record reads like end of file.
  ///   - descriptors: Borrowed numbers, at most ``maximumDescriptors``.
  ///   - wait: Whether to wait when the peer's queue is full.
  /// - Throws: `EAGAIN` when it would have to wait, or has waited for as long as it may, `EPIPE` when the peer is gone,
  ///   `ETOOMANYREFS` when too many descriptors of this user are in flight.
  /// - Complexity: One system call.
  ///
  /// The corresponding C function is `sendmsg` with `SCM_RIGHTS`; see unix(7).
  public borrowing func send(
    _ bytes: [UInt8], descriptors: [Int32] = [], wait: Bool = true
  ) throws(SystemError) {
    let number = descriptor.number
    _ = try checked(.sendmsg) {
      unsafe bytes.withUnsafeBytes { payload in
        unsafe descriptors.withUnsafeBufferPointer { list in
          unsafe clinux_send_record(
            number, payload.baseAddress, payload.count, list.baseAddress, Int32(list.count),
            wait ? 0 : 1)
        }
      }
    }
  }

  /// Receives one record into `buffer`.
  ///
  /// - Returns: nil when the peer closed its end.
  /// - Throws: ``ReceiveFailure``; after a truncation the stream is of no more use, because a
  ///   descriptor that was announced is gone.
  /// - Complexity: One system call.
  ///
  /// The corresponding C function is `recvmsg` with `MSG_CMSG_CLOEXEC`.
  public borrowing func receive(
    into buffer: inout [UInt8], wait: Bool = true
  ) throws(ReceiveFailure) -> ReceivedRecord? {
    let number = descriptor.number
    return unsafe try withUnsafeTemporaryAllocation(
      of: Int32.self, capacity: SeqpacketSocket.maximumDescriptors
    ) { list throws(ReceiveFailure) in
      var info = clinux_received()
      let count: Int
      do throws(SystemError) {
        count = try checked(.recvmsg) {
          unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe clinux_receive_record(
              number, bytes.baseAddress, bytes.count, list.baseAddress, wait ? 0 : 1, &info)
          }
        }
      } catch {
        if error.isDisconnection { return nil }
        throw .system(error)
      }
      var numbers: [Int32] = []
      for index in 0..<Int(info.descriptor_count) { unsafe numbers.append(list[index]) }
      let descriptors = DescriptorList(adopting: numbers)
      if clinux_control_truncated(info.flags) != 0 { throw .descriptorsTruncated }
      if clinux_message_truncated(info.flags) != 0 { throw .recordTruncated }
      if count == 0 { return nil }
      return ReceivedRecord(byteCount: count, descriptors: descriptors)
    }
  }

  /// Tells both directions that nothing more comes; the peer sees end of file.
  public borrowing func shutdown() { _ = clinux_shutdown(descriptor.number) }
}
