import RemoteMigration
import Testing

@Suite("A set of pages")
struct PageBitmapTests {
  private func set(_ pages: [Int]) -> PageBitmap {
    var set = PageBitmap(pageCount: 130)
    for page in pages { set.insert(page) }
    return set
  }

  private func pages(_ set: PageBitmap) -> [Int] { (0..<set.pageCount).filter { set.contains($0) } }

  @Test("has what either has, or what both have")
  func together() {
    var either = set([0, 63, 64, 129])
    either.formUnion(set([1, 64]))
    #expect(pages(either) == [0, 1, 63, 64, 129])
    var both = set([0, 63, 64, 129])
    both.formIntersection(set([1, 64, 129]))
    #expect(pages(both) == [64, 129])
    both.formIntersection(set([]))
    #expect(both.isEmpty)
    var all = PageBitmap(pageCount: 130)
    all.insertAll()
    all.formIntersection(set([2, 128]))
    #expect(pages(all) == [2, 128] && all.count == 2)
  }

  @Test("is gone through from anywhere")
  func first() {
    let set = set([3, 64, 129])
    #expect([0, 3, 4, 64, 65, 129, 130].map { set.first(from: $0) } == [3, 3, 64, 64, 129, 129, nil])
  }
}
