# The built page (web/dist, committed) goes into the server: each file as it is and packed by gzip. Makes assets.inc, a line
# for each file, in ${NEXUS_PAGE_DIR}. Nothing but CMake is needed for that.
set(NEXUS_PAGE_DIR ${CMAKE_BINARY_DIR}/page)
file(GLOB_RECURSE page_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/dist/*)
list(SORT page_files)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page_files})
set(page_lines "")
set(page_number 0)
foreach(page_file ${page_files})
  file(RELATIVE_PATH page_name ${CMAKE_SOURCE_DIR}/web/dist ${page_file})
  set(page_packed ${NEXUS_PAGE_DIR}/${page_name}.gz)
  get_filename_component(page_folder ${page_packed} DIRECTORY)
  file(MAKE_DIRECTORY ${page_folder})
  file(ARCHIVE_CREATE OUTPUT ${page_packed} PATHS ${page_file} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  string(APPEND page_lines "NEXUS_ASSET(${page_number}, \"${page_name}\", \"${page_file}\", \"${page_packed}\")\n")
  math(EXPR page_number "${page_number} + 1")
endforeach()
file(GENERATE OUTPUT ${NEXUS_PAGE_DIR}/assets.inc CONTENT "${page_lines}")

# assets.cc of the target embeds them; the dependency scan does not see what the assembler reads.
function(nexus_embed_page TARGET)
  target_include_directories(${TARGET} PRIVATE ${NEXUS_PAGE_DIR})
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/http/assets.cc TARGET_DIRECTORY ${TARGET} PROPERTIES
    OBJECT_DEPENDS "${page_files};${NEXUS_PAGE_DIR}/assets.inc")
endfunction()
