package journal

// Break makes every further write of a lane fail, as a full disk would.
func (j *Journal) Break(lane int) { _ = j.lanes[lane].file.Close() }

// Die lets go of the files, as the end of the process does.
func (j *Journal) Die() {
	for _, l := range j.lanes {
		_ = l.file.Close()
	}
}
