import LinuxOS
import SEVABI

/// Buffers of this process that a command reads or writes.
///
/// A command is done when its call returns, so that an address is used only while the buffer stays where it is.
func withAddress<Answer>(
  of bytes: [UInt8], _ body: (UInt64) throws(SEVError) -> Answer
) throws(SEVError) -> Answer {
  unsafe try bytes.withUnsafeBufferPointer { buffer throws(SEVError) in
    // SAFETY: only the number leaves, and it is used only inside of the call.
    try body(UInt64(UInt(bitPattern: buffer.baseAddress)))
  }
}

func withAddress<Answer>(
  writing bytes: inout [UInt8], _ body: (UInt64) throws(SEVError) -> Answer
) throws(SEVError) -> Answer {
  unsafe try bytes.withUnsafeMutableBufferPointer { buffer throws(SEVError) in
    // SAFETY: as above.
    try body(UInt64(UInt(bitPattern: buffer.baseAddress)))
  }
}

extension SEVSession {
  /// Issues a command that takes a packet and a place in guest memory.
  mutating func issuePacket(
    _ id: SEVCommandID, header: [UInt8], payload: [UInt8], address: UInt64,
    on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    try withAddress(of: header) { (headerAddress) throws(SEVError) in
      try withAddress(of: payload) { (payloadAddress) throws(SEVError) in
        let parameters = PacketParameters(
          headerAddress: headerAddress, headerByteCount: UInt32(header.count), guestAddress: address,
          guestByteCount: UInt32(payload.count), transportAddress: payloadAddress,
          transportByteCount: UInt32(payload.count))
        try issue(id, parameters, on: machine)
      }
    }
  }

  /// Issues a command that takes packets, those of the extension too, whose struct no kernel has.
  mutating func issue(
    _ id: SEVCommandID, _ parameters: PacketParameters, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    area.storeParameters(parameters)
    let code = try send(
      id.rawValue, parameterByteCount: PacketParameters.byteCount, pins: id.pinsMemory, on: machine,
      firmware: 0, for: .command(id))
    try check(code, .command(id))
  }
}
