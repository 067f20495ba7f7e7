import BatonWire
import FuzzSupport

/// A stream of records, each `[length, 2 bytes][descriptors, 1 byte][bytes]`, into one assembler; each message
/// that comes out is decoded as either side would, and a decoded message must survive a second journey.
@c(LLVMFuzzerTestOneInput)
public func fuzzRecords(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  if let header = try? StateEnvelope.decodeHeader(input) {
    precondition((0...StateEnvelope.maximumState).contains(header.stateByteCount))
  }
  // A payload alone, without the header that random bytes seldom hit.
  if input.count > 2 {
    let message = Message(
      type: UInt16(input[0]), payload: Array(input.dropFirst(2)), descriptorCount: Int(input[1]))
    checkRoundTrip(message)
  }
  var source = ByteSource(input)
  var assembler = MessageAssembler()
  while !source.isEmpty {
    let length = source.below(256) | source.below(256) << 8
    let descriptors = Int(source.byte())
    guard let message = try? assembler.take(source.take(length), descriptorCount: descriptors) else {
      continue
    }
    precondition(message.payload.count <= Message.maximumPayload)
    checkRoundTrip(message)
  }
  return 0
}

private func checkRoundTrip(_ message: Message) {
  if let decoded = try? VMMMessage(decoding: message) {
    // VMs of way `move` are in no payload, only in the headers.
    let again = decoded.encoded(contextVMs: message.descriptorCount - decoded.descriptorCount)
    // A report of another version has more or fewer fields than are written today.
    let isReport = if case .migrationReport = decoded { true } else { false }
    precondition(
      again == message || isReport && (try? VMMMessage(decoding: again)) == decoded,
      "a VMM's message changed on its second journey: \(decoded)")
    checkTransport(again)
  }
  if let decoded = try? RegistryMessage(decoding: message) {
    // VMs of way `move` are in no payload, only in the headers.
    let again = decoded.encoded(contextVMs: message.descriptorCount - decoded.descriptorCount)
    precondition(again == message, "a registry's message changed on its second journey: \(decoded)")
    checkTransport(again)
  }
}

private func checkTransport(_ message: Message) {
  var assembler = MessageAssembler(version: 1)
  var arrived: Message?
  for record in message.records(version: 1, sequence: 1) {
    do {
      arrived = try assembler.take(record.bytes, descriptorCount: record.descriptors.count)
    } catch {
      preconditionFailure("an encoded record was refused: \(error)")
    }
  }
  precondition(arrived == message, "a message changed in its records")
}
