import BatonCore
import BatonWire
import FuzzSupport

/// Any bytes as a journal: replay refuses them or yields records that, written anew, replay to the same.
/// The input is tried as it is, and once more behind a header that commits all of it.
@c(LLVMFuzzerTestOneInput)
public func fuzzJournal(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  check(input)
  var committed = Array(Journal.image([]).prefix(Journal.committedOffset))
  let word = Journal.committedWord(Journal.headerByteCount + input.count)
  for shift in 0..<8 { committed.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
  check(committed + input)
  return 0
}

private func check(_ bytes: [UInt8]) {
  guard let contents = try? Journal.replay(bytes) else { return }
  precondition(contents.committedByteCount <= bytes.count)
  do {
    let again = try Journal.replay(Journal.image(contents.records))
    precondition(again.records == contents.records, "compaction changed the records")
  } catch {
    preconditionFailure("a journal that was just written is refused: \(error)")
  }
}
