import BatonWire
import FuzzSupport
import MigrationCore

/// The migration stream from both sides. The first byte chooses what the others are:
/// 0 = a source's bytes from the first on; 1 = a source's bytes behind an honest preamble and manifest;
/// 2 = a target's bytes, answering a source that is somewhere in its course;
/// 3 = decisions of a source that fills and seals batches as it likes, and of a link that damages them.
@c(LLVMFuzzerTestOneInput)
public func fuzzMigrationStream(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, count))
  switch source.below(4) {
  case 0: readBytes(of: &source, as: Receiver(kind: .sevES))
  case 1:
    let receiver = Receiver(kind: SEVKind(rawValue: UInt8(source.below(3))) ?? .none)
    receiver.open()
    readBytes(of: &source, as: receiver)
  case 2: answer(with: &source)
  default: converse(&source)
  }
  return 0
}

/// Feeds all that is left, in pieces of up to 255 bytes.
private func readBytes(of source: inout ByteSource, as receiver: Receiver) {
  while !source.isEmpty {
    let piece = source.take(Int(source.byte()))
    guard receiver.feed(piece) else { break }
  }
  receiver.end()
}

/// A source in some phase hears bytes.
private func answer(with input: inout ByteSource) {
  let receiver = Receiver(kind: .sevES)
  var source = SourceStream()
  let steps = input.below(14)
  for step in 0..<steps {
    guard let frames = try? Samples.step(step, &source) else { break }
    for frame in frames { _ = receiver.feed(frame) }
    for answer in receiver.takeAnswers() { source.receive(answer) }
    while (try? source.next()) != nil {}
  }
  while !input.isEmpty {
    source.receive(input.take(Int(input.byte())))
    do throws(StreamFault) {
      while try source.next() != nil {}
    } catch {
      // A fault is final, and a stream with a fault still says why, unless the guest was given up.
      precondition((try? source.next()) == nil, "a stream went on after its fault")
      precondition(source.phase == .failed, "a stream with a fault is in another phase")
      _ = try? source.send(.cancel(Cancellation(refusal: error.refusal, text: error.description)))
      return
    }
  }
  precondition(
    source.acknowledged.map { $0.sequence < source.totals.batches } ?? true,
    "a batch was acknowledged that was not sent")
  try? source.receivedEnd()
}

/// A source that keeps the order of frames, but not the rules of batches, and a link that does what it likes.
private func converse(_ input: inout ByteSource) {
  let kind = SEVKind(rawValue: UInt8(input.below(3))) ?? .none
  let receiver = Receiver(kind: kind)
  var source = SourceStream()
  receiver.open(&source)
  // What was sealed, by sequence, and whether a target that goes in order may take it.
  var link: [[UInt8]] = []
  var isHonest = true
  while !input.isEmpty, receiver.isOpen {
    switch input.below(8) {
    case 0, 1, 2:
      var batch = PageBatch(pages: 8)
      for _ in 0..<(1 + input.below(8)) {
        let frame = UInt64(input.below(40))
        switch input.below(3) {
        case 0: batch.appendZero(frame)
        case 1: batch.appendPlain(frame) { $0.append(repeating: UInt8(frame), count: 4_096) }
        default: batch.appendEncrypted(frame) { $0.append(repeating: UInt8(frame), count: 52 + 4_096) }
        }
      }
      guard (try? source.seal(&batch)) != nil else { return }
      link.append(batch.bytes)
      _ = receiver.feed(batch.bytes)
    case 3 where source.phase == .pages:
      var end = source.roundSoFar
      end.isLast = input.below(4) == 0
      guard let bytes = try? source.send(.roundEnd(end)) else { return }
      _ = receiver.feed(bytes)
    case 4 where !link.isEmpty:
      // Something that was sent comes again.
      isHonest = false
      _ = receiver.feed(link[input.below(link.count)])
    case 5 where !link.isEmpty:
      var bytes = link[link.count - 1]
      bytes[(input.below(256) << 8 | input.below(256)) % bytes.count] ^= 1 << UInt8(input.below(8))
      isHonest = false
      _ = receiver.feed(bytes)
    case 6:
      // A batch that is left out.
      var batch = PageBatch(pages: 1)
      batch.appendZero(UInt64(input.below(24)))
      guard (try? source.seal(&batch)) != nil else { return }
      isHonest = false
    default:
      guard let bytes = try? source.send(.keepalive) else { return }
      _ = receiver.feed(bytes)
    }
    precondition(
      !receiver.isOpen || !isHonest || receiver.stream.totals == source.totals,
      "both ends count differently")
  }
  receiver.end()
}
