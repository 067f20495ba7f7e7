import BatonCore
import BatonWire
import FuzzSupport

/// Any bytes as a journal: replay refuses them or yields records that, written anew, replay to the same.
///
/// The input is tried as it is, behind a header that commits all of it, and as the records of a journal whose
/// checksums are right, so that the records' own decoder is reached and not only the guard in front of it.
@c(LLVMFuzzerTestOneInput)
public func fuzzJournal(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  check(input)
  check(journal(of: input))
  check(journal(of: sealedEntries(input)))
  return 0
}

/// A journal that commits these entries.
private func journal(of entries: [UInt8]) -> [UInt8] {
  var bytes = Array(Journal.image([]).prefix(Journal.committedOffset))
  append(Journal.committedWord(Journal.headerByteCount + entries.count), to: &bytes)
  return bytes + entries
}

/// Cuts the input into records, each with its length in two bytes in front, and gives each the length and
/// checksum of an entry.
private func sealedEntries(_ input: [UInt8]) -> [UInt8] {
  var source = ByteSource(input)
  var entries: [UInt8] = []
  while !source.isEmpty {
    let length = source.below(256) | source.below(256) << 8
    let record = source.take(length)
    var head: [UInt8] = []
    append(UInt32(record.count), to: &head)
    let checksum = CRC32C.checksum(head + record)
    append(checksum, to: &head)
    entries += head + record
  }
  return entries
}

private func append<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value, to bytes: inout [UInt8]) {
  for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
    bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
  }
}

private func check(_ bytes: [UInt8]) {
  guard let contents = try? Journal.replay(bytes) else { return }
  precondition(contents.committedByteCount <= bytes.count)
  do {
    let again = try Journal.replay(Journal.image(contents.records, forgotten: contents.forgotten))
    precondition(again.records == contents.records, "compaction changed the records")
    precondition(again.forgotten == contents.forgotten, "compaction changed the numbers of forgotten guests")
  } catch {
    preconditionFailure("a journal that was just written is refused: \(error)")
  }
}
